"""Hand edits of a sealed model: every file, and every way of altering one that needs no key.

Each edit is made on a fresh copy and the owner's own reader is asked to open it. An edit that opens
was missed; an unaltered copy that does not open is a false alarm. What is said to be caught here is
what somebody without the owner's signing key can do; weights that the owner itself sealed are
sealed as they are, poisoned or not.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from strongroom.artifact import names
from strongroom.artifact.signing import SigningKey
from strongroom.exposure.interface import (
    Alarms,
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung

Edit = Callable[[Path, random.Random], None]

UNALTERED = 3
"""Copies that are opened as they are."""

_HEAD = 128
"""Bytes at the start of a part that hold its header; edits of content lie behind them."""


class SealedEdit(Attack):
    """Alter copies of the sealed files, one edit each, and have them opened."""

    name = "sealed-edit"
    system = True
    family = Family.TAMPERING
    goal = "Alter a sealed model so that it is still opened"
    rungs = (Rung.CLOSED,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier", "causal-lm")
    taxonomy = ("ATLAS:AML.T0018", "OWASP-ML:ML10:2023", "OWASP-LLM:LLM03:2025")
    source = "strongroom's specification of the sealed model, section on refusals"
    cost = "an opening of the model for each edit, most of them cut short"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Alarms for each of ``EDITS``, then for ``UNALTERED`` copies; scores: 1 where refused."""
        by = random.Random(seed)  # noqa: S311
        fired = []
        for edit in EDITS.values():
            folder = target.fresh()
            edit(folder, by)
            fired.append(bool(target.opens(folder)))
        fired += [bool(target.opens(target.fresh())) for _ in range(UNALTERED)]
        return [Alarms(target.spent().queries, tuple(fired), np.array(fired, dtype=float))]


def altered() -> list[bool]:
    """For the judge: which of the objects were altered."""
    return [True] * len(EDITS) + [False] * UNALTERED


def named() -> list[str]:
    """For the judge: what was done to each."""
    return [*EDITS, *["nothing"] * UNALTERED]


def _own(path: Path) -> None:
    """Make a file, which may be a link to the owner's, one's own copy."""
    copy = path.with_name(path.name + ".own")
    shutil.copyfile(path, copy)
    copy.replace(path)


def _weights(folder: Path) -> Path:
    return max(folder.glob("weights-*.floe"), key=lambda path: path.stat().st_size)


def _flip(path: Path, by: random.Random, first: int = 0) -> None:
    """Flip one bit at or behind ``first``."""
    _own(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(by.randrange(min(first, size - 1), size))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1 << by.randrange(8)]))


def _flipper(name: str, first: int = 0) -> Edit:
    return lambda folder, by: _flip(folder / name, by, first)


def _flip_weight(folder: Path, by: random.Random) -> None:
    _flip(_weights(folder), by, _HEAD)


def _flip_head(folder: Path, by: random.Random) -> None:
    path = _weights(folder)
    _own(path)
    with path.open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1 << by.randrange(8)]))


def _cut(folder: Path, by: random.Random) -> None:
    path = _weights(folder)
    _own(path)
    os.truncate(path, path.stat().st_size - by.randrange(1, 64))


def _append(folder: Path, by: random.Random) -> None:
    path = _weights(folder)
    _own(path)
    with path.open("ab") as file:
        file.write(by.randbytes(16))


def _move(folder: Path, by: random.Random) -> None:
    """Two stretches of ciphertext change places, the length stays."""
    path = _weights(folder)
    _own(path)
    size = min(4096, (path.stat().st_size - _HEAD) // 2)
    with path.open("r+b") as file:
        file.seek(_HEAD)
        one, two = file.read(size), file.read(size)
        file.seek(_HEAD)
        file.write(two + one)


def _drop(folder: Path, by: random.Random) -> None:
    _weights(folder).unlink()


def _plain_beside(folder: Path, by: random.Random) -> None:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    raw = len(header).to_bytes(8, "little") + header + by.randbytes(4)
    (folder / "model.safetensors").write_bytes(raw)


def _stranger_beside(folder: Path, by: random.Random) -> None:
    (folder / "modeling.py").write_bytes(b"raise SystemExit\n")


def _release_edited(folder: Path, by: random.Random) -> None:
    """A later release by the attacker's word, under the owner's old signatures."""
    path = folder / names.MANIFEST
    document = msgspec.json.decode(path.read_bytes())
    document["release"] += 1
    _own(path)
    path.write_bytes(msgspec.json.encode(document, order="sorted"))


def _signed_by_a_stranger(folder: Path, by: random.Random) -> None:
    """A whole, sound manifest, signed by whoever put it there: as good as a poisoned model."""
    _sign(folder, SigningKey.from_seeds(by.randbytes(64)), None)


def _signed_in_the_owners_name(folder: Path, by: random.Random) -> None:
    stated = msgspec.json.decode((folder / names.SIGNATURES).read_bytes())
    _sign(folder, SigningKey.from_seeds(by.randbytes(64)), stated["signer"])


def _sign(folder: Path, key: SigningKey, signer: str | None) -> None:
    made = key.sign((folder / names.MANIFEST).read_bytes())
    if signer is not None:
        made = msgspec.structs.replace(made, signer=signer)
    path = folder / names.SIGNATURES
    _own(path)
    path.write_bytes(msgspec.json.encode(made, order="sorted"))


def _unsigned(folder: Path, by: random.Random) -> None:
    """One of the two signatures taken away."""
    path = folder / names.SIGNATURES
    document = msgspec.json.decode(path.read_bytes())
    del document["ml_dsa_65"]
    _own(path)
    path.write_bytes(msgspec.json.encode(document, order="sorted"))


EDITS: dict[str, Edit] = {
    "a bit of the weights": _flip_weight,
    "a bit of a part's header": _flip_head,
    "a bit of the sealed index": _flipper(names.part_name("index", 1, 1), _HEAD),
    "a bit of configuration or tokenizer": _flipper(names.part_name("files", 1, 1), _HEAD),
    "a bit of the hash list": _flipper(names.HASH_LIST),
    "a bit of the manifest": _flipper(names.MANIFEST),
    "a bit of the signatures": _flipper(names.SIGNATURES),
    "weights cut short": _cut,
    "bytes behind the weights": _append,
    "weights moved about": _move,
    "weights taken away": _drop,
    "plain weights beside": _plain_beside,
    "code beside": _stranger_beside,
    "another release number": _release_edited,
    "signed by a stranger": _signed_by_a_stranger,
    "signed in the owner's name": _signed_in_the_owners_name,
    "one signature of two": _unsigned,
}
"""What is done, by name. Each alters what is opened: a rewrapped recipient would not be one."""
