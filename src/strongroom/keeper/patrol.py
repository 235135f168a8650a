"""The keeper walks round its own weights: one flipped bit is enough to own a model.

1. At opening, right after every segment was authenticated against the signed manifest, ``seen_at``
   takes BLAKE3 digests of the arena.
2. Once the engine is warm, the arena is compared with them: what the engine copied from was what
   the owner signed.
3. Each round the arena and every tensor that the engine holds are compared with keyed checksums
   taken at step 2. An engine reads its packed copies, so the arena alone would not do. What changes
   by design is left out: the cache of keys and values, and the queue.
4. Each hour the arena is compared with the digests of step 1 once more. They are no secret's, so
   that whoever learnt the checksums' key could still not change a weight.

The checksum is GMAC under a key of this process. Its two inputs differ by a polynomial that has
few roots, and a single flipped bit leaves it one root only, 0, so that to be missed the secret
point must be 0: once in 2^128. Work is spread evenly over the round, a few chunks a turn of the
loop. Reading memory needs no system call, so the walls do not mind.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import ArtifactRefused
from strongroom.keeper.engine.kv_cache import KeyValueCache
from strongroom.keeper.engine.scheduler import Scheduler

CHUNK = 1024 * 1024
HOUR = 3600.0
_CHANGING = (KeyValueCache, Scheduler)

Digest = Callable[[int, memoryview], bytes]


def seen_at(opened: memoryview) -> list[bytes]:
    """Step 1: digests of the arena's chunks."""
    return [_hashed(number, chunk) for number, chunk in enumerate(_cut(opened))]


class Patrol:
    """Watches ``arena`` and what ``engine`` holds.

    Args:
        arena: all weights as they were opened.
        opened: what ``seen_at`` said of it then.
        engine: built and warm.
        seconds: one round; no flipped bit goes unnoticed for longer, if the loop turns.
        clock: seconds.

    Raises:
        ArtifactRefused: ``keeper.weights_altered`` (step 2).
    """

    def __init__(
        self,
        arena: memoryview,
        opened: Sequence[bytes],
        engine: object,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        stored = list(_cut(arena))
        self._held = list(_outside(arena, engine))  # keeps what the chunks look into
        chunks = stored + [chunk for tensor in self._held for chunk in _cut(_bytes_of(tensor))]
        self.watched = sum(len(chunk) for chunk in chunks)
        checksum = _keyed()
        known = [checksum(number, chunk) for number, chunk in enumerate(chunks)]
        if seen_at(arena) != list(opened):  # (2); after step 3's checksums, so that they are of it
            raise altered()
        started = clock()
        self._rounds = (
            _Round(chunks, known, checksum, seconds, started),
            _Round(stored, opened, _hashed, HOUR, started),
        )

    def look(self) -> None:
        """Steps 3 and 4, as far as they are due.

        Raises:
            ArtifactRefused: ``keeper.weights_altered``.
        """
        now = self._clock()
        for each in self._rounds:
            each.look(now)


class _Round:
    """Chunks, what their digests were, and how far this round has come."""

    def __init__(
        self,
        chunks: Sequence[memoryview],
        known: Sequence[bytes],
        digest: Digest,
        seconds: float,
        started: float,
    ) -> None:
        self._chunks, self._known, self._digest = chunks, known, digest
        self._pace, self._started, self._done = len(chunks) / seconds, started, 0

    def look(self, now: float) -> None:
        due = int((now - self._started) * self._pace) + 1
        for at in range(self._done, min(due, self._done + len(self._chunks))):
            number = at % len(self._chunks)
            if self._digest(number, self._chunks[number]) != self._known[number]:
                raise altered()
        self._done = max(self._done, due)


def altered() -> ArtifactRefused:
    """The weights in memory are no longer those that were opened."""
    return ArtifactRefused(
        "keeper.weights_altered",
        "The weights in the keeper's memory are no longer those that were opened.",
        action="Serve from a fresh keeper; if it happens again, replace or leave this machine.",
    )


def _keyed() -> Digest:
    """GMAC under a fresh key. Tags stay in this process, so a chunk's nonce may stay the same."""
    cipher = AESGCM(os.urandom(32))

    def checksum(number: int, chunk: memoryview) -> bytes:
        return cipher.encrypt(number.to_bytes(12, "little"), b"", chunk)

    return checksum


def _hashed(_number: int, chunk: memoryview) -> bytes:
    return blake3(chunk).digest()


def _cut(region: memoryview) -> Iterator[memoryview]:
    return (region[at : at + CHUNK] for at in range(0, len(region), CHUNK))


def _outside(arena: memoryview, engine: object) -> Iterator[torch.Tensor]:
    """Each tensor that ``engine`` holds in memory of its own."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(arena)) if len(arena) else 0
    met: set[int] = set()
    for tensor in _tensors(engine, set()):
        address, length = _span(tensor)
        if length and address not in met and not start <= address < start + len(arena):
            met.add(address)
            yield tensor


def _tensors(thing: object, met: set[int]) -> Iterator[torch.Tensor]:
    """Each tensor that can be reached from ``thing`` through containers and objects of ours."""
    if isinstance(thing, torch.Tensor):
        yield thing
        return
    if id(thing) in met or isinstance(thing, _CHANGING):
        return
    met.add(id(thing))
    for part in _parts(thing):
        yield from _tensors(part, met)


def _parts(thing: Any) -> Iterator[object]:
    if isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, (list, tuple)):
        yield from thing
    elif type(thing).__module__.partition(".")[0] == "strongroom":
        yield from getattr(thing, "__dict__", {}).values()
        for kind in type(thing).__mro__:
            names = kind.__dict__.get("__slots__", ())
            yield from (getattr(thing, name, None) for name in names)


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """Address and length of a tensor's memory; oneDNN's blocked tensors tell them their own way."""
    if tensor.is_mkldnn:
        blocked: Any = torch.ops.mkldnn
        return blocked.data_ptr(tensor), blocked._nbytes(tensor)
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    address, length = _span(tensor)
    return memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B")
