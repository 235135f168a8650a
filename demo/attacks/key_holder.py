"""A customer holds the data key and forges with it: encryption alone cannot tell them apart.

The index is opened, two tensors of the same shape change names, and the index is sealed again
with the real key under the same FLOE header. Every part then decrypts. Only the owner's signature
over the segment hashes stands in the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from demo.attacks.interface import Outcome
from demo.attacks.sealed import SealedAttack, judge, own, sealed_copy
from strongroom.artifact import floe, index, key_schedule
from strongroom.artifact.manifest import Manifest, PlacedPart, read_manifest
from strongroom.artifact.secret_access import TOKEN

if TYPE_CHECKING:
    from demo.stage import Stage


class KeyHolderForgery(SealedAttack):
    """Swaps the names of two tensors in the sealed index, as somebody who may open the model."""

    name = "Two swapped tensors (by a key holder)"
    goal = "Forge weights with the data key that every customer needs to open the model."
    reasons = frozenset({"artifact.segment_altered"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        manifest = read_manifest(copy, stage.trust)
        part = _index_part(manifest)
        forged, names = _swap_two_names(_decrypt(stage, copy, manifest, part))
        _encrypt(stage, copy, manifest, part, forged)
        return f"{names[0]} and {names[1]} changed names in an index sealed again with the real key"

    def run(self, stage: Stage) -> Outcome:
        with sealed_copy(stage.sealed, stage.work) as copy:
            done = self.tamper(stage, copy)
            manifest = read_manifest(copy, stage.trust)
            part = _index_part(manifest)
            # AEAD accepts the forgery: with hashes left out, it would decrypt like the original.
            decrypts = bool(index.decode(_decrypt(stage, copy, manifest, part)).tensors)
            codes = {"verify": stage.verify_code(copy), "open": stage.open_code(copy)}
        control = "the forged index decrypts and authenticates under the data key"
        return judge(codes, done, control, control_ok=decrypts)


def _swap_two_names(plaintext: bytearray) -> tuple[bytes, tuple[str, str]]:
    content = index.decode(plaintext)
    tensors = list(content.tensors)
    for one in range(len(tensors)):
        for other in range(one + 1, len(tensors)):
            a, b = tensors[one], tensors[other]
            if (a.dtype, a.shape) == (b.dtype, b.shape) and len(a.shape) == 2:
                tensors[one] = msgspec.structs.replace(a, name=b.name)
                tensors[other] = msgspec.structs.replace(b, name=a.name)
                forged = msgspec.structs.replace(content, tensors=tuple(tensors))
                return index.encode(forged), (a.name, b.name)
    raise ValueError("no two matrices of one shape")


def _index_part(manifest: Manifest) -> PlacedPart:
    return next(placed for placed in manifest.placed_parts() if placed.part.role == "index")


def _keyed(stage: Stage, manifest: Manifest, raw: memoryview | bytearray) -> floe.Floe:
    """The state that both reads and writes segments under the header which ``raw`` begins with."""
    aad = key_schedule.part_aad(manifest.seal_id, "index", 1, 1)
    with stage.data_key() as key:
        return floe.Floe.start_decryption(
            manifest.parameters, key.reveal(TOKEN), aad, raw[: floe.HEADER_BYTES]
        )


def _decrypt(stage: Stage, copy: Path, manifest: Manifest, placed: PlacedPart) -> bytearray:
    raw = memoryview((copy / placed.part.name).read_bytes())
    plaintext = bytearray(placed.geometry.plaintext_bytes)
    state = _keyed(stage, manifest, raw)
    for number in range(placed.geometry.segments):
        start, length = placed.geometry.file_span(number)
        to, size = placed.geometry.plain_span(number)
        final = placed.geometry.is_final(number)
        window = memoryview(plaintext)[to : to + size]
        state.decrypt_segment(number, final, raw[start : start + length], window)
    state.close()
    return plaintext


def _encrypt(
    stage: Stage, copy: Path, manifest: Manifest, placed: PlacedPart, plaintext: bytes
) -> None:
    """Seal ``plaintext`` under the header that is there already, as a holder of the key can."""
    path = own(copy / placed.part.name)
    raw = bytearray(path.read_bytes())
    state = _keyed(stage, manifest, raw)
    for number in range(placed.geometry.segments):
        start, length = placed.geometry.file_span(number)
        at, size = placed.geometry.plain_span(number)
        final = placed.geometry.is_final(number)
        window = memoryview(raw)[start : start + length]
        state.encrypt_segment(number, final, plaintext[at : at + size], window)
    state.close()
    path.write_bytes(raw)
