"""Open a sealed model into memory.

After the six steps of ``reading.open_bodies``, which need no key:

7. The key must be the one that the manifest commits to; that is looked at before anything is
   decrypted, so that a wrong key is never mistaken for damage.
8. Index and files are decrypted, each segment hashed first, always. The index must have the one
   layout that is possible, and its policy the signed digest.
9. Weights are decrypted on ``threads`` threads, segment by segment: read into private scratch,
   hash (when ``strict``), decrypt from the same scratch straight into the arena.
10. Ciphers and derived keys are dropped; then the record of releases is advanced.

``strict=False`` skips the hashes of weights only. Then the seal still excludes anybody without
the data key, but not a customer who holds it and forges weights.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from strongroom.artifact import index as sealed_index
from strongroom.artifact import parallel
from strongroom.artifact.arena import Arena
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.floe import Floe, FloeError
from strongroom.artifact.index import Index
from strongroom.artifact.key_schedule import part_aad, require_key
from strongroom.artifact.manifest import Manifest
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.reading import Bodies, Body, open_bodies, runs
from strongroom.artifact.reasons import refuse
from strongroom.artifact.secret_access import TOKEN
from strongroom.artifact.trust import ReleaseState, Trust


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor: safetensors dtype name, shape, and where its bytes lie in the arena.

    ``offset`` is a multiple of 64. Elements are little-endian and row-major.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, repr=False)
class SealedIndex:
    """What a sealed model says of itself to a key holder, without its weights."""

    manifest: Manifest
    policy: DisclosurePolicy
    files: dict[str, bytes]
    tensors: dict[str, TensorEntry]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.manifest.model_id!r}, {len(self.tensors)} tensors)"


@dataclass(frozen=True, slots=True, repr=False)
class OpenedModel(SealedIndex):
    """An opened model. ``arena`` holds all weights; tensors are slices of it."""

    arena: memoryview
    _arena: Arena

    def wipe(self) -> None:
        """Make the weights zero, under every tensor that aliases them."""
        self._arena.wipe()


def open_sealed(
    folder: Path,
    key: DataKey,
    *,
    trust: Trust,
    state: ReleaseState | None,
    strict: bool = True,
    threads: int = 2,
    now: datetime | None = None,
    progress: parallel.Progress | None = None,
) -> OpenedModel:
    """Open the sealed model in ``folder`` with ``key``; the caller wipes the key afterwards.

    Args:
        folder: the sealed model.
        key: the data key that a recipient stanza was unwrapped to.
        trust: whose signature counts.
        state: newest releases seen, advanced on success; None does not look at history.
        strict: hash every segment of weights before decrypting it.
        threads: how many decrypt at once.
        now: the time to compare ``not_after`` with; None is the clock's.
        progress: called with (bytes done, bytes in all), from one thread at a time.

    Raises:
        ArtifactRefused: the model is not acceptable; nothing of it is returned.
        KeyRefused: ``artifact.wrong_key``, or the key has been wiped.
    """
    count = parallel.thread_count(threads)
    with open_bodies(folder, trust, state, now) as bodies:
        index, files = _open_index(bodies, key)
        arena = _open_weights(bodies, key, strict, count, progress)
        manifest = bodies.manifest
    if state is not None:
        state.advance(manifest)  # (10)
    return OpenedModel(manifest, index.policy, files, _entries(index), arena.view, arena)


def read_sealed_index(folder: Path, key: DataKey, *, trust: Trust) -> SealedIndex:
    """Policy, files and tensor entries, without loading weights. History is not looked at."""
    with open_bodies(folder, trust, None, None) as bodies:
        index, files = _open_index(bodies, key)
        return SealedIndex(bodies.manifest, index.policy, files, _entries(index))


def _open_index(bodies: Bodies, key: DataKey) -> tuple[Index, dict[str, bytes]]:
    manifest = bodies.manifest
    require_key(key, manifest.seal_id, manifest.key_commitment)  # (7)
    index = sealed_index.decode(_decrypt_whole(bodies, bodies.index, key))  # (8)
    if index.policy.digest != manifest.policy_digest:
        raise refuse("artifact.policy_mismatch")
    part_sizes = [body.placed.geometry.plaintext_bytes for body in bodies.weights]
    sealed_index.require_layout(index, part_sizes, bodies.files.placed.geometry.plaintext_bytes)
    content = memoryview(_decrypt_whole(bodies, bodies.files, key))
    files: dict[str, bytes] = {}
    at = 0
    for file in index.files:
        files[file.name] = bytes(content[at : at + file.length])
        at += file.length
    return index, files


def _entries(index: Index) -> dict[str, TensorEntry]:
    return {t.name: TensorEntry(t.dtype, t.shape, t.offset, t.nbytes) for t in index.tensors}


def _decrypt_whole(bodies: Bodies, body: Body, key: DataKey) -> bytearray:
    """The plaintext of a small part, every segment hashed first."""
    plaintext = bytearray(body.placed.geometry.plaintext_bytes)
    with closing(_start(bodies, body, key)) as floe:
        decrypt = _decrypter(bodies, (body,), (floe,), memoryview(plaintext), True, None)
        decrypt((0, range(body.placed.part.segments)))
    return plaintext


def _open_weights(
    bodies: Bodies, key: DataKey, strict: bool, threads: int, progress: parallel.Progress | None
) -> Arena:
    size = sum(body.placed.geometry.plaintext_bytes for body in bodies.weights)
    meter = parallel.Meter(
        sum(body.placed.geometry.body_bytes for body in bodies.weights), progress
    )
    arena = Arena(size)
    floes = tuple(_start(bodies, body, key) for body in bodies.weights)
    try:
        parallel.run(
            runs(bodies.weights),
            lambda: _decrypter(bodies, bodies.weights, floes, arena.view, strict, meter),
            threads,
        )
    except BaseException:
        arena.wipe()
        raise
    finally:
        for floe in floes:
            floe.close()
    return arena


def _start(bodies: Bodies, body: Body, key: DataKey) -> Floe:
    part, manifest = body.placed.part, bodies.manifest
    aad = part_aad(manifest.seal_id, part.role, part.shard, part.shards)
    header = bytes.fromhex(part.header)
    try:
        return Floe.start_decryption(manifest.parameters, key.reveal(TOKEN), aad, header)
    except FloeError:
        raise refuse("artifact.part_replaced", name=part.name) from None


def _decrypter(
    bodies: Bodies,
    parts: tuple[Body, ...],
    floes: tuple[Floe, ...],
    out: memoryview,
    strict: bool,
    meter: parallel.Meter | None,
) -> Callable[[tuple[int, range]], None]:
    """One thread's worker: its own scratch, shared ciphers, disjoint places in ``out``."""
    scratch = memoryview(bytearray(bodies.manifest.parameters.segment_bytes))
    bases = [0]
    for body in parts:
        bases.append(bases[-1] + body.placed.geometry.plaintext_bytes)

    def decrypt(job: tuple[int, range]) -> None:
        body, floe, base = parts[job[0]], floes[job[0]], bases[job[0]]
        geometry = body.placed.geometry
        for number in job[1]:
            segment = body.read_segment(number, scratch)  # (9)
            if strict:
                body.require_hash(number, segment)
            at, length = geometry.plain_span(number)
            target = out[base + at : base + at + length]
            try:
                floe.decrypt_segment(number, geometry.is_final(number), segment, target)
            except FloeError:
                name = body.placed.part.name
                raise refuse("artifact.segment_altered", number=number, name=name) from None
            if meter is not None:
                meter.add(len(segment))

    return decrypt
