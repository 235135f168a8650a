"""Seal a model: encrypt, hash, sign, and let it appear under its name whole or not at all.

1. Read the source's headers and plain files; refuse what cannot be sealed (``source``).
2. Lay out the arena: every tensor at a multiple of 64, a part for each shard.
3. Draw a seal id and a data key; wrap the key for every recipient.
4. In a folder beside the destination (``publish``): encrypt and hash every part, write the list
   of hashes, the recipients, the manifest, and last the signatures, each onto the disk.
5. Make sure that the source did not change meanwhile; rename. The key is wiped in any case.

Memory: two segments a thread, the index and the plain files, whatever the size of the weights.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blake3 import blake3

from strongroom.artifact import canonical, names, parallel
from strongroom.artifact import index as sealed_index
from strongroom.artifact.body_writer import Extent, FromFile, InMemory, Plaintext, write_body
from strongroom.artifact.claims import Claims, make_claims
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.durable import write_durably
from strongroom.artifact.floe import GCM256_IV256_1M, GCM256_IV256_4K, Floe, Parameters
from strongroom.artifact.geometry import Geometry
from strongroom.artifact.index import Index, IndexedFile, IndexedTensor, aligned
from strongroom.artifact.key_schedule import commitment, part_aad
from strongroom.artifact.manifest import (
    FORMAT,
    VERSION,
    HashList,
    Manifest,
    Part,
    Role,
    suite_of,
    wrapping_context,
)
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.publish import new_folder
from strongroom.artifact.reasons import refuse
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.rewrap import encode_recipients
from strongroom.artifact.secret_access import TOKEN
from strongroom.artifact.signing import SigningKey
from strongroom.artifact.source import Shard, Source, open_source

Wrap = Callable[[DataKey, bytes], Recipient]

SMALL_MODEL_BYTES = 1024 * 1024
"""Below so many bytes of weights a model is sealed in segments of 4 KiB, else of 1 MiB."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A part to be written."""

    role: Role
    shard: int
    shards: int
    plaintext: Plaintext


def seal(
    source: Path,
    destination: Path,
    *,
    signer: SigningKey,
    wrap: Sequence[Wrap],
    model_id: str,
    release: int,
    policy: DisclosurePolicy,
    previous: str | None = None,
    not_after: datetime | None = None,
    progress: parallel.Progress | None = None,
) -> Manifest:
    """Seal the model in ``source`` as the new folder ``destination``.

    Args:
        source: a folder as Hugging Face lays it out; see ``source``.
        destination: must not exist.
        signer: the owner's key.
        wrap: one for each recipient; given the data key and the context to bind it to.
        model_id: public and opaque name, the same for all releases.
        release: greater than that of every release before.
        policy: sealed with the model.
        previous: digest of the release before, if any.
        not_after: from then on the model is refused.
        progress: called with (bytes done, bytes in all), from one thread at a time.

    Raises:
        ArtifactRefused: the source cannot be sealed, or the destination exists.
        ConfigurationRefused: an argument is not acceptable.
        EnvironmentLacks: the disk is full or cannot be written.
    """
    claims = make_claims(model_id, release, policy, previous, not_after)
    with ExitStack() as stack:
        opened = open_source(source, stack)  # (1)
        return seal_opened(
            opened,
            destination,
            signer=signer,
            wrap=wrap,
            claims=claims,
            policy=policy,
            progress=progress,
        )


def seal_opened(
    opened: Source,
    destination: Path,
    *,
    signer: SigningKey,
    wrap: Sequence[Wrap],
    claims: Claims,
    policy: DisclosurePolicy,
    progress: parallel.Progress | None = None,
) -> Manifest:
    """Steps 2 to 5, for a source that is open: a folder's, or one in memory; see ``seal``."""
    if not wrap:
        raise refuse("artifact.no_recipients")
    with ExitStack() as stack:
        plans, parameters = _plan(opened, policy)  # (2)
        seal_id = secrets.token_hex(16)  # (3)
        key = DataKey.generate()
        stack.callback(key.wipe)
        context = wrapping_context(seal_id, claims.model_id)
        recipients = encode_recipients([wrap_for(key, context) for wrap_for in wrap])
        with new_folder(destination) as folder:  # (4)
            parts, hashes = _write_parts(folder, plans, parameters, key, seal_id, progress)
            manifest = _manifest(claims, policy, seal_id, key, parameters, parts, hashes)
            _write_documents(folder, manifest, signer, hashes, recipients)
            for shard in opened.shards:
                shard.require_unchanged()  # (5)
        return manifest


def _plan(source: Source, policy: DisclosurePolicy) -> tuple[list[_Plan], Parameters]:
    """The parts to write, in the manifest's order, and the parameter set for their size."""
    weights: list[_Plan] = []
    tensors: list[IndexedTensor] = []
    base = 0
    for number, shard in enumerate(source.shards, 1):
        placed, plaintext = _lay_out(shard, base)
        tensors += placed
        weights.append(_Plan("weights", number, len(source.shards), plaintext))
        base += plaintext.size
    listed = tuple(IndexedFile(name, len(raw)) for name, raw in source.files.items())
    index = InMemory(sealed_index.encode(Index(1, policy, listed, tuple(tensors))))
    joined = b"".join(source.files.values())
    files = InMemory(joined.ljust(sealed_index.padded_size(len(joined)), b"\0"))
    parameters = GCM256_IV256_4K if base < SMALL_MODEL_BYTES else GCM256_IV256_1M
    return [_Plan("index", 1, 1, index), _Plan("files", 1, 1, files), *weights], parameters


def _lay_out(shard: Shard, base: int) -> tuple[list[IndexedTensor], FromFile]:
    """A shard's tensors placed in the arena from ``base`` on, and where their bytes come from."""
    placed: list[IndexedTensor] = []
    extents: list[Extent] = []
    at = 0
    for tensor in shard.tensors:
        at = aligned(at)
        placed.append(IndexedTensor(tensor.name, tensor.dtype, tensor.shape, base + at))
        if tensor.nbytes:
            extents.append(Extent(at, tensor.offset, tensor.nbytes))
        at += tensor.nbytes
    return placed, FromFile(shard.fd, shard.name, extents, aligned(at))


def _write_parts(
    folder: Path,
    plans: list[_Plan],
    parameters: Parameters,
    key: DataKey,
    seal_id: str,
    progress: parallel.Progress | None,
) -> tuple[tuple[Part, ...], bytes]:
    """Write every part; returns their entries for the manifest and all segment hashes."""
    geometries = [Geometry.for_plaintext(plan.plaintext.size, parameters) for plan in plans]
    meter = parallel.Meter(sum(g.body_bytes for g in geometries), progress)
    threads = parallel.thread_count(None)
    parts: list[Part] = []
    hashes = bytearray()
    for plan, geometry in zip(plans, geometries, strict=True):
        place = (plan.role, plan.shard, plan.shards)
        aad = part_aad(seal_id, *place)
        started, header = Floe.start_encryption(parameters, key.reveal(TOKEN), aad)
        name = names.part_name(*place)
        with closing(started) as floe, (folder / name).open("xb") as file:
            hashes += write_body(file.fileno(), header, floe, plan.plaintext, threads, meter)
        parts.append(Part(name, *place, header.hex(), geometry.length, geometry.segments))
    return tuple(parts), bytes(hashes)


def _manifest(
    claims: Claims,
    policy: DisclosurePolicy,
    seal_id: str,
    key: DataKey,
    parameters: Parameters,
    parts: tuple[Part, ...],
    hashes: bytes,
) -> Manifest:
    return Manifest(
        format=FORMAT,
        version=VERSION,
        suite=suite_of(parameters),
        seal_id=seal_id,
        model_id=claims.model_id,
        release=claims.release,
        created=claims.created,
        not_after=claims.not_after,
        reader_minimum=1,
        previous=claims.previous,
        key_commitment=commitment(key, seal_id).hex(),
        policy_digest=policy.digest,
        hash_list=HashList(sum(part.segments for part in parts), blake3(hashes).hexdigest()),
        parts=parts,
    )


def _write_documents(
    folder: Path, manifest: Manifest, signer: SigningKey, hashes: bytes, recipients: bytes
) -> None:
    """All but the parts; the signatures last, so that what is signed is there already."""
    raw = canonical.encode(manifest)
    for name, content in (
        (names.HASH_LIST, hashes),
        (names.RECIPIENTS, recipients),
        (names.MANIFEST, raw),
        (names.SIGNATURES, canonical.encode(signer.sign(raw))),
    ):
        write_durably(folder / name, content, mode=0o644)
