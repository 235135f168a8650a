"""Coverage-guided fuzzing of the parsers behind the signature.

Run ``python fuzz/atheris_sealed_model.py -max_total_time=300``. Needs ``atheris``, which is no
dependency of ours (see CONTRIBUTING.md). The first byte of an input chooses the parser; a finding
is anything raised that is not a StrongroomError, and ends the run.

The documents are canonical JSON of a fixed form, which edits of bytes hardly ever hit. So it starts
from the documents of a real sealed model, and every other edit changes one value in the document
and writes it in canonical form again. What reached new code is kept in ``fuzz/corpus``. Options go
to libFuzzer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
sys.path.insert(0, str(ROOT / "tests"))

with atheris.instrument_imports():
    from strongroom.artifact import canonical, index, manifest, rewrap, signing
    from strongroom.artifact.policy import DisclosurePolicy
    from strongroom.artifact.safetensors_header import read_header
    from strongroom.errors import StrongroomError


def header(raw: bytes) -> None:
    """A safetensors file that somebody wants sealed; ``raw`` is its header and 64 bytes of data."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, len(raw).to_bytes(8, "little") + raw + bytes(64))
        read_header(fd, "x.safetensors")
    finally:
        os.close(fd)


def sealed_index(raw: bytes) -> None:
    """A sealed index without its padding, and the layout that it claims."""
    framed = len(raw).to_bytes(8, "big") + raw
    found = index.decode(framed.ljust(index.padded_size(len(framed)), b"\0"))
    size = sum(index.aligned(tensor.nbytes) for tensor in found.tensors)
    files = index.padded_size(sum(file.length for file in found.files))
    index.require_layout(found, [size], files)


def signatures(raw: bytes) -> None:
    """What is read before any signature has been checked."""
    canonical.decode(raw, signing.Signatures, "signatures.json")


def recipients(raw: bytes) -> None:
    """What anybody may replace."""
    canonical.decode(raw, rewrap.Recipients, "recipients.json")


PARSERS = (manifest.parse, sealed_index, header, signatures, recipients)


def one_input(raw: bytes) -> None:
    """Give the input to the parser that its first byte chooses."""
    if raw:
        with contextlib.suppress(StrongroomError):
            PARSERS[raw[0] % len(PARSERS)](raw[1:])


def mutate(raw: bytes, most: int, seed: int) -> bytes:
    """Another input: one value of the document changed, or what libFuzzer does to bytes."""
    chance = random.Random(seed)  # noqa: S311
    try:
        document = json.loads(raw[1:]) if chance.random() < 0.5 else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict | list):
        return bytes(atheris.Mutate(raw, most))
    change(document, chance)
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return (raw[:1] + text.encode("utf-8", "surrogatepass"))[:most]


def change(document: Any, chance: random.Random) -> None:
    """Walk to a random place, and replace, remove or double what stands there."""
    while True:
        places = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not places:
            return
        at = chance.choice(places)
        inside = document[at]
        if not isinstance(inside, dict | list) or not inside or chance.random() < 0.2:
            break
        document = inside
    kind = chance.randrange(8)
    if kind == 0:
        del document[at]
    elif kind == 1 and isinstance(document, list):
        document.append(inside)
    elif kind == 2 and isinstance(document, dict):
        document[chance.choice(("", "x", str(at) * 2))] = inside
    elif isinstance(inside, int) and kind < 6:
        document[at] = inside + chance.choice((-1, 1, 63, 64, 2**31, 2**53, 2**64))
    elif isinstance(inside, str) and kind < 6:
        document[at] = chance.choice((inside[:-1], inside + inside[-1:], inside.upper(), "\0"))
    else:
        document[at] = chance.choice((0, -1, 1.5, 2**53, "", "F4", None, True, [], {}, [0], inside))


def write_seeds() -> None:
    """The documents of a small sealed model, one file each, where libFuzzer looks for them."""
    from artifact.models import safetensors_bytes, seal_model, some_tensors, write_model

    CORPUS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as base:
        sealed = seal_model(write_model(Path(base) / "m"), Path(base) / "s").folder
        documents = [sealed / f"{name}.json" for name in ("manifest", "signatures", "recipients")]
        manifest_, signatures_, recipients_ = (path.read_bytes() for path in documents)
    tensors = (("F32", (4, 4)), ("BF16", (0,)), ("F4", (16,)), ("BOOL", ()))
    listed = tuple(
        index.IndexedTensor(f"t{at}", dtype, shape, 64 * at)
        for at, (dtype, shape) in enumerate(tensors)
    )
    files = (index.IndexedFile("config.json", 10),)
    plain = canonical.encode(index.Index(1, DisclosurePolicy(), files, listed))
    source = safetensors_bytes(some_tensors(2, 7), {"format": "pt"})
    text = source[8 : 8 + int.from_bytes(source[:8], "little")]
    for at, seed in enumerate((manifest_, plain, text, signatures_, recipients_)):
        (CORPUS / f"seed-{at}").write_bytes(bytes([at]) + seed)


if __name__ == "__main__":
    write_seeds()
    atheris.Setup([*sys.argv, str(CORPUS)], one_input, custom_mutator=mutate)
    atheris.Fuzz()
