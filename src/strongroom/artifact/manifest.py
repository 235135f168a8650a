"""The signed manifest: all that is public about a sealed model (spec section 3).

``read_manifest`` follows these steps; each refuses with a reason of its own:

1. Read ``manifest.json`` and ``signatures.json``, bounded, without following links.
2. The signer named must be one that the caller trusts, and both signatures must fit the manifest's
   exact bytes. Nothing in the manifest is looked at before that.
3. Format version and suite must be known, and the reader new enough.
4. The bytes must be the canonical encoding of exactly the fields below.
5. The fields must agree with one another: part names, roles, order, lengths, counts.

Left to the caller: expiry and release history (``trust``), and everything about the bodies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact import canonical, floe, names
from strongroom.artifact.folder import SealedFolder
from strongroom.artifact.geometry import Geometry
from strongroom.artifact.reasons import refuse, shown
from strongroom.artifact.signing import Signatures
from strongroom.artifact.trust import Trust

FORMAT: Final = "strongroom sealed model"
VERSION: Final = 1
READER_LEVEL = 1
"""What this reader understands; a manifest may demand more with ``reader_minimum``."""

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
MAX_SIGNATURES_BYTES = 16 * 1024
MAX_PARTS = 32_768

SUITES = {
    "FLOE-GCM256-1M_BLAKE3_Ed25519+ML-DSA-65": floe.GCM256_IV256_1M,
    "FLOE-GCM256-4K_BLAKE3_Ed25519+ML-DSA-65": floe.GCM256_IV256_4K,
}

Natural = Annotated[int, Meta(ge=1, le=canonical.MAX_INTEGER)]
Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Hex64 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
HexHeader = Annotated[str, Meta(pattern=rf"\A[0-9a-f]{{{2 * floe.HEADER_BYTES}}}\Z")]
ModelId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,127}\Z")]
Time = Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
Role = Literal["index", "files", "weights"]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One FLOE ciphertext: its file, its place (``shard`` of ``shards`` of its role), its size."""

    name: str
    role: Role
    shard: Natural
    shards: Natural
    header: HexHeader
    length: Natural
    segments: Natural


class HashList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``segments.b3``: BLAKE3-256 of every segment of every part in order; ``root`` hashes it."""

    segments: Natural
    root: Hex64


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner signs. Times are UTC, ``previous`` is the digest of the release before."""

    format: Literal["strongroom sealed model"]
    version: Literal[1]
    suite: str
    seal_id: Hex32
    model_id: ModelId
    release: Natural
    created: Time
    not_after: Time | None
    reader_minimum: Natural
    previous: Hex64 | None
    key_commitment: Hex64
    policy_digest: Hex64
    hash_list: HashList
    parts: Annotated[tuple[Part, ...], Meta(min_length=3, max_length=MAX_PARTS)]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical manifest, hex: names this very release."""
        return hashlib.sha256(canonical.encode(self)).hexdigest()

    @property
    def parameters(self) -> floe.Parameters:
        """The FLOE parameter set of the suite."""
        return SUITES[self.suite]

    @property
    def expires(self) -> datetime | None:
        """``not_after`` as a time, or None."""
        return None if self.not_after is None else _time(self.not_after)

    def placed_parts(self) -> Iterator[PlacedPart]:
        """Every part with where its hashes begin in the list, in order."""
        first = 0
        for part in self.parts:
            yield PlacedPart(part, Geometry(part.length, part.segments, self.parameters), first)
            first += part.segments


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A part, its geometry, and the position of its first hash in the list."""

    part: Part
    geometry: Geometry
    first_hash: int


class _Prelude(msgspec.Struct, frozen=True):
    """What is read of a manifest to learn whether this reader understands it at all."""

    format: str
    version: int
    suite: str
    reader_minimum: int


def read_manifest(folder: Path, trust: Trust) -> Manifest:
    """The manifest of the sealed model in ``folder``, signature checked (steps 1 to 5)."""
    with SealedFolder(folder) as sealed:
        return manifest_of(sealed, trust)


def manifest_of(sealed: SealedFolder, trust: Trust) -> Manifest:
    """As ``read_manifest``, for a folder that is already open."""
    raw = sealed.read(names.MANIFEST, MAX_MANIFEST_BYTES)  # (1)
    raw_signatures = sealed.read(names.SIGNATURES, MAX_SIGNATURES_BYTES)
    signatures = canonical.decode(raw_signatures, Signatures, names.SIGNATURES)
    trust.signer(signatures.signer).verify(raw, signatures)  # (2)
    return parse(raw)


def parse(raw: bytes) -> Manifest:
    """Steps 3 to 5, on bytes whose signatures have been checked."""
    try:
        prelude = msgspec.json.decode(raw, type=_Prelude)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refuse("artifact.malformed", name=names.MANIFEST) from None
    known = prelude.format == FORMAT and prelude.version == VERSION and prelude.suite in SUITES
    if not known:  # (3)
        raise refuse("artifact.unsupported_format", version=shown(prelude.version))
    if prelude.reader_minimum > READER_LEVEL:
        raise refuse("artifact.reader_too_old", minimum=prelude.reader_minimum, level=READER_LEVEL)
    manifest = canonical.decode(raw, Manifest, names.MANIFEST)  # (4)
    problem = _contradiction(manifest)  # (5)
    if problem:
        raise refuse("artifact.manifest_inconsistent", problem=problem)
    return manifest


def recipient_context(manifest: Manifest) -> bytes:
    """What a wrapped data key is bound to: this sealing of this model."""
    return wrapping_context(manifest.seal_id, manifest.model_id)


def wrapping_context(seal_id: str, model_id: str) -> bytes:
    """``label ‖ 0 ‖ seal id (16 bytes) ‖ model id``."""
    return b"strongroom sealed-model v1 recipient\x00" + bytes.fromhex(seal_id) + model_id.encode()


def suite_of(parameters: floe.Parameters) -> str:
    """The suite's name in a manifest."""
    return next(name for name, known in SUITES.items() if known == parameters)


def timestamp(moment: datetime) -> str:
    """The manifest's form of a time, in UTC to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _contradiction(manifest: Manifest) -> str | None:
    try:
        for text in (manifest.created, manifest.not_after):
            if text is not None:
                _time(text)
    except ValueError:
        return "a time is not a real time"
    weights = len(manifest.parts) - 2
    places = [
        ("index", 1, 1),
        ("files", 1, 1),
        *(("weights", i + 1, weights) for i in range(weights)),
    ]
    for part, place in zip(manifest.parts, places, strict=True):
        if (part.role, part.shard, part.shards) != place:
            return "the parts are not in their order"
        if part.name != names.part_name(*place):
            return "a part's name does not fit its place"
        if not Geometry.fits(part.length, part.segments, manifest.parameters):
            return "a part's length does not fit its number of segments"
    if sum(part.segments for part in manifest.parts) != manifest.hash_list.segments:
        return "the number of segments does not add up"
    return None
