"""Make the vectors of the sealed model: run ``python vectors/make_sealed_model_v1.py``.

Every run draws new keys and nonces, so all files change; the expected outcomes are stated here, by
hand, and not taken from what the code did.
"""

# ruff: noqa: D103, E402, E501

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).resolve().parent
OUT = HERE / "sealed-model-v1"
sys.path.insert(0, str(HERE.parent / "tests"))

from artifact import models
from artifact.models import SIGNER, STRANGER, Sealed, Tensors

from strongroom.artifact import dtypes
from strongroom.artifact.policy import DisclosurePolicy, EgressCeiling
from strongroom.artifact.secret_access import TOKEN

NOW = "2027-01-01T00:00:00Z"
NOT_AFTER = datetime(2099, 1, 1, tzinfo=UTC)
FIRST, SECOND = 2, 3
Edit = Callable[[Sealed], object]


@dataclass(frozen=True)
class Vector:
    """One vector: its name, outcome, rules, comment and how to get there from the base."""

    name: str
    expect: str
    rules: str
    comment: str
    edit: Edit
    without_key: str | None = None
    strict: bool = True
    now: str = NOW
    record: dict[str, Any] | None = None
    base: str = "two-shards"


def part_path(sealed: Sealed, part: int) -> Path:
    return sealed.folder / sealed.manifest.parts[part].name


def flip(part: int, offset: int) -> Edit:
    return lambda s: models.flip(part_path(s, part), offset)


def flip_file(name: str, offset: int) -> Edit:
    return lambda s: models.flip(s.folder / name, offset)


def cut(part: int, count: int) -> Edit:
    return lambda s: part_path(s, part).write_bytes(part_path(s, part).read_bytes()[:-count])


def add(name: str, content: bytes = b"x") -> Edit:
    return lambda s: (s.folder / name).write_bytes(content)


def segments(part: int, change: Callable[[list[bytes]], list[bytes]]) -> Edit:
    def edit(sealed: Sealed) -> None:
        header, pieces = models.segments_of(sealed, part)
        part_path(sealed, part).write_bytes(header + b"".join(change(pieces)))

    return edit


def swap_shards(sealed: Sealed) -> None:
    one, two = part_path(sealed, FIRST), part_path(sealed, SECOND)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def manifest(change: Callable[[dict[str, Any]], object], signed: bool = True) -> Edit:
    return lambda s: models.edit_manifest(s, change, SIGNER if signed else None)


def manifest_bytes(change: Callable[[bytes], bytes]) -> Edit:
    return lambda s: models.write_manifest(s, change((s.folder / "manifest.json").read_bytes()))


def signed_by_stranger(sealed: Sealed) -> None:
    models.write_manifest(sealed, (sealed.folder / "manifest.json").read_bytes(), STRANGER)


def stranger_as_owner(sealed: Sealed) -> None:
    signed_by_stranger(sealed)
    path = sealed.folder / "signatures.json"
    names = (STRANGER.public.fingerprint, SIGNER.public.fingerprint)
    path.write_text(path.read_text().replace(*names))


def drop_signature(scheme: str) -> Edit:
    def edit(sealed: Sealed) -> None:
        path = sealed.folder / "signatures.json"
        document = json.loads(path.read_bytes())
        del document[scheme]
        path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True))

    return edit


def forged(part: int, change: Callable[[bytearray], None], signed: bool = False) -> Edit:
    def edit(sealed: Sealed) -> None:
        models.forge(sealed, part, change)
        if signed:
            models.resign_bodies(sealed)

    return edit


def replace(old: bytes, new: bytes) -> Callable[[bytearray], None]:
    def change(plain: bytearray) -> None:
        text = bytes(plain[8 : 8 + int.from_bytes(plain[:8], "big")])
        if old not in text:
            raise ValueError(f"{old!r} is not in the index")
        text = text.replace(old, new, 1)
        plain[:] = (len(text).to_bytes(8, "big") + text).ljust(len(plain), b"\0")

    return change


def poison(plain: bytearray) -> None:
    plain[:4] = b"\xde\xad\xbe\xef"


def hide(plain: bytearray) -> None:
    plain[-1] = 1


def nothing(sealed: Sealed) -> None:
    """Leave the base as it is."""


def record(release: int, digest: str | None = None) -> dict[str, Any]:
    return {"release": release, "digest": digest or "0" * 64}


def unsigned_edit(document: dict[str, Any]) -> None:
    document["release"] += 1


DUPLICATE = (b'"release":3', b'"release":3,"release":3')
ORDER = (b'{"created"', b'{"format":"strongroom sealed model","created"')
ESCAPE = (b'"format"', b'"\\u0066ormat"')


def vectors() -> list[Vector]:
    """All vectors, in the order of the specification."""
    ok, v = "success", Vector
    altered, moved = "artifact.segment_altered", "artifact.segment_moved"
    beside, foreign = "artifact.plain_weights_beside", "artifact.unexpected_file"
    malformed, canonical = "artifact.malformed", "artifact.not_canonical"
    contradiction, bad_index = "artifact.manifest_inconsistent", "artifact.index_invalid"
    return [
        v("success-two-shards", ok, "10", "Two shards, several segments of 4 KiB.", nothing),
        v("success-all-types", ok, "7.5", "Every type, scalars, empty tensors, odd names.", nothing, base="all-types"),
        v("success-no-weights", ok, "3.5", "No tensor at all: one empty segment.", nothing, base="no-weights"),
        v("success-mebibyte", ok, "3.3", "The suite with segments of 1 MiB.", nothing, base="mebibyte"),
        v("success-recipients-edited", ok, "8.2", "Recipients hold no integrity.", flip_file("recipients.json", 30)),
        v("success-forged-not-strict", ok, "6.2", "A key holder forges weights; only strict readers notice.", forged(FIRST, poison), without_key=altered, strict=False),
        v("forged-weights", altered, "6.2", "The same, for a strict reader.", forged(FIRST, poison)),
        v("forged-index", altered, "6.2", "A key holder forges the index; noticed even when not strict.", forged(0, replace(b'"text"', b'"topk"')), strict=False),
        v("swapped-tensors", altered, "6.2", "A key holder swaps two tensors' names in the index.", forged(0, replace(b"layer.0.weight", b"layer.9.weight"))),
        v("unsealed-beside", beside, "2.2", "A safetensors file beside.", add("model.safetensors")),
        v("pickle-beside", beside, "2.2", "A pickle beside.", add("pytorch_model.bin")),
        v("foreign-file", foreign, "2.2", "A file that no rule names.", add("README.md")),
        v("missing-index", "artifact.missing_file", "2.2", "No index.", lambda s: (s.folder / "index.floe").unlink()),
        v("missing-recipients", "artifact.missing_file", "2.2", "No recipients.", lambda s: (s.folder / "recipients.json").unlink()),
        v("oversized-signatures", "artifact.too_large", "2.4", "17,000 bytes of signatures.", add("signatures.json", b" " * 17_000)),
        v("unknown-member", malformed, "3.1", "A member of no meaning.", manifest(lambda m: m.update(extra=1))),
        v("missing-member", malformed, "3.2", "No previous.", manifest(lambda m: m.pop("previous"))),
        v("float-release", malformed, "3.1", "1.0 is no integer here.", manifest(lambda m: m.update(release=1.0))),
        v("duplicate-member", canonical, "3.1", "release twice.", manifest_bytes(lambda r: r.replace(*DUPLICATE))),
        v("escaped-member", canonical, "3.1", "A needless escape.", manifest_bytes(lambda r: r.replace(*ESCAPE))),
        v("order-of-members", canonical, "3.1", "Not sorted.", manifest_bytes(lambda r: r.replace(b',"format":"strongroom sealed model"', b"").replace(*ORDER))),
        v("trailing-newline", canonical, "3.1", "A newline at the end.", manifest_bytes(lambda r: r + b"\n")),
        v("unknown-suite", "artifact.unsupported_format", "3.3", "A suite of the future.", manifest(lambda m: m.update(suite="rot13"))),
        v("unknown-version", "artifact.unsupported_format", "3.2", "Version 2.", manifest(lambda m: m.update(version=2))),
        v("reader-too-old", "artifact.reader_too_old", "3.7", "Demands level 2.", manifest(lambda m: m.update(reader_minimum=2))),
        v("parts-out-of-order", contradiction, "3.4", "Parts reversed.", manifest(lambda m: m["parts"].reverse())),
        v("part-name", contradiction, "3.4", "A part's name is a path.", manifest(lambda m: m["parts"][2].update(name="../x"))),
        v("segment-count", contradiction, "3.5", "A part has too many segments.", manifest(lambda m: m["parts"][2].update(segments=9))),
        v("segment-sum", contradiction, "3.5", "The sum is wrong.", manifest(lambda m: m["hash_list"].update(segments=1))),
        v("no-such-day", contradiction, "3.2", "30 February.", manifest(lambda m: m.update(created="2026-02-30T00:00:00Z"))),
        v("expired", "artifact.expired", "3.7", "After not_after.", nothing, now="2099-01-01T00:00:01Z"),
        v("stranger", "artifact.signer_unknown", "4.4", "Signed by another signer.", signed_by_stranger),
        v("stranger-as-owner", "artifact.signature_invalid", "4.4", "… who names the owner's fingerprint.", stranger_as_owner),
        v("edited-manifest", "artifact.signature_invalid", "4.4", "Release raised, not signed again.", manifest(unsigned_edit, signed=False)),
        v("no-ed25519", "artifact.signature_missing", "4.1", "Only ML-DSA-65.", drop_signature("ed25519")),
        v("no-ml-dsa-65", "artifact.signature_missing", "4.1", "Only Ed25519.", drop_signature("ml_dsa_65")),
        v("flipped-index", altered, "6.2", "A bit of the index.", flip(0, 100)),
        v("flipped-files", altered, "6.2", "A bit of the files.", flip(1, 100)),
        v("flipped-weights", altered, "6.2", "A bit of the last tag.", flip(FIRST, -1)),
        v("flipped-weights-not-strict", altered, "5.1", "Without hashes the tag notices.", flip(FIRST, -1), strict=False),
        v("flipped-length-field", altered, "5.1", "A segment's length field.", flip(FIRST, 74), strict=False, without_key=altered),
        v("flipped-header", "artifact.part_replaced", "5.4", "A bit of a FLOE header.", flip(FIRST, 20)),
        v("swapped-shards", "artifact.part_replaced", "5.4", "Two shards of one size exchanged.", swap_shards),
        v("truncated", "artifact.truncated", "5.4", "A byte short.", cut(FIRST, 1)),
        v("dropped-segment", "artifact.truncated", "5.4", "First segment gone.", segments(FIRST, lambda s: s[1:])),
        v("trailing-byte", "artifact.trailing_bytes", "5.4", "A byte too many.", segments(FIRST, lambda s: [*s, b"\0"])),
        v("duplicated-segment", moved, "6.3", "The first segment in place of the second.", segments(FIRST, lambda s: [s[0], s[0], *s[2:]])),
        v("reordered-segments", moved, "6.3", "Two segments exchanged.", segments(FIRST, lambda s: [s[1], s[0], *s[2:]])),
        v("spliced-segment", moved, "6.3", "A segment of the other shard.", lambda s: segments(FIRST, lambda p: [models.segments_of(s, SECOND)[1][0], *p[1:]])(s)),
        v("hash-list", "artifact.hash_list_altered", "6.1", "A bit of the list.", flip_file("segments.b3", 0)),
        v("hash-list-short", "artifact.truncated", "6.1", "One hash less.", lambda s: (s.folder / "segments.b3").write_bytes((s.folder / "segments.b3").read_bytes()[:-32])),
        v("index-duplicate-name", bad_index, "7.2", "Signed so by its owner.", forged(0, replace(b"layer.1.weight", b"layer.0.weight"), True), without_key=ok),
        v("index-gap", bad_index, "7.6", "A tensor begins 64 bytes late.", forged(0, replace(b'"offset":0', b'"offset":64'), True), without_key=ok),
        v("index-type", bad_index, "7.5", "A type that does not exist.", forged(0, replace(b'"F32"', b'"F31"'), True), without_key=ok),
        v("index-padding", bad_index, "7.1", "Padding that is not zero.", forged(0, hide, True), without_key=ok),
        v("loosened-policy", "artifact.policy_mismatch", "7.3", "The policy's digest was signed before.", forged(0, replace(b'"text"', b'"topk"'), True), without_key=ok),
        v("wrong-key", "artifact.wrong_key", "5.3", "The commitment of another key.", manifest(lambda m: m.update(key_commitment="0" * 64)), without_key=ok),
        v("rollback", "artifact.rollback", "9.1", "Release 4 has been seen.", nothing, record=record(4)),
        v("fork", "artifact.fork", "9.1", "Another release 3 has been seen.", nothing, record=record(3)),
        v("fork-previous", "artifact.fork", "9.1", "It follows another release 2.", nothing, record=record(2, "1" * 64)),
        v("success-next-release", ok, "9.1", "It follows the release on record.", nothing, record=record(2)),
    ]  # fmt: skip


def main() -> None:
    """Make the bases, then every vector as a difference from its base."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        made = {name: make_base(Path(scratch), name) for name in BASES}
        for vector in vectors():
            write(vector, *made[vector.base], Path(scratch) / "edited")
    print(f"{len(vectors())} vectors in {OUT}")


ODD: Tensors = {
    **{f"of {d}": (d, (2, 4), bytes(range(b))) for d, b in dtypes.BITS.items()},
    "scalar": ("I64", (), b"12345678"),
    "empty": ("F32", (3, 0), b""),
    '名前 \U0001f600 "\\\x01': ("U8", (1,), b"x"),
}
SHARDS = [
    models.some_tensors(3, 900, seed=1),
    {f"second.{k}": t for k, t in models.some_tensors(3, 900, seed=2).items()},
]
BASES: dict[str, list[Tensors]] = {
    "two-shards": SHARDS,
    "all-types": [ODD],
    "no-weights": [{}],
    "mebibyte": [models.some_tensors(2, 300, seed=3)],
}


def make_base(scratch: Path, name: str) -> tuple[Sealed, Tensors, dict[str, bytes]]:
    """Seal the base into ``OUT / name``; returns also what it holds."""
    shards = BASES[name]
    source = scratch / name
    if len(shards) > 1:
        models.write_sharded(source, shards)
    else:
        models.write_model(source, shards[0])
    small = 0 if name == "mebibyte" else 1024 * 1024
    with mock.patch("strongroom.artifact.seal.SMALL_MODEL_BYTES", small):
        sealed = models.seal_model(
            source,
            OUT / name,
            model_id="vectors/model",
            release=3,
            previous="0" * 64,
            not_after=NOT_AFTER,
            policy=DisclosurePolicy({"*": "text"}, EgressCeiling(1000, 5000)),
        )
    tensors = {k: t for shard in shards for k, t in shard.items()}
    plain = [p for p in source.iterdir() if "safetensors" not in p.name]
    return sealed, tensors, {p.name: p.read_bytes() for p in plain}


def write(
    vector: Vector, base: Sealed, tensors: Tensors, files: dict[str, bytes], scratch: Path
) -> None:
    """One vector's file."""
    shutil.copytree(base.folder, scratch)
    vector.edit(Sealed(scratch, base.key, base.manifest))
    document = {
        "expect": vector.expect,
        "expect_without_key": vector.without_key or vector.expect,
        "rules": vector.rules,
        "comment": vector.comment,
        "origin": "vectors/make_sealed_model_v1.py",
        "base": vector.base,
        "edits": differences(base.folder, scratch),
        "key": bytes(base.key.reveal(TOKEN)).hex(),
        "signer": SIGNER.public.encode(),
        "strict": vector.strict,
        "now": vector.now,
        "record": vector.record,
    }
    if vector.expect == "success" and "forged" not in vector.name:
        document["tensors"] = {
            name: {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(raw).hexdigest()}
            for name, (dtype, shape, raw) in tensors.items()
        }
        document["files"] = {n: hashlib.sha256(raw).hexdigest() for n, raw in files.items()}
    (OUT / f"{vector.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    shutil.rmtree(scratch)


def differences(old: Path, new: Path) -> list[dict[str, Any]]:
    """The edits that turn one folder into the other; one a file."""
    edits: list[dict[str, Any]] = []
    before = {p.name: p.read_bytes() for p in old.iterdir()}
    after = {p.name: p.read_bytes() for p in new.iterdir()}
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            edits.append({"file": name, "delete": True})
        elif before.get(name) != after[name]:
            a, b = before.get(name, b""), after[name]
            limit = min(len(a), len(b))
            start = next((i for i in range(limit) if a[i] != b[i]), limit)
            tail = next((i for i in range(limit - start) if a[-1 - i] != b[-1 - i]), limit - start)
            edits.append(
                {
                    "file": name,
                    "at": start,
                    "remove": len(a) - start - tail,
                    "insert": b[start : len(b) - tail].hex(),
                }
            )
    return edits


if __name__ == "__main__":
    main()
