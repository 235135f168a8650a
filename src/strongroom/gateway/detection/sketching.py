"""Prompts and inputs become hashes and projections by a secret; nothing else of them is kept.

Tokens are hashed by tabulation: each id has 64 secret random bits, and n-grams are sums of them
with odd multipliers. Inputs are multiplied by a secret orthonormal matrix, which keeps distances
but for the part that is lost to its lower rank. Without the secret, which lives and dies with the
process, neither leads back. This hides content from who finds the tables later; it is no defence
against somebody who may query the sketches while the process lives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from strongroom.gateway.detection.interface import Rows

Hashes = npt.NDArray[np.uint64]
Buckets = npt.NDArray[np.uint16]
Vectors = npt.NDArray[np.float32]

BUCKET_BITS: Final = 16
RANK: Final = 64
BANDS: Final = 4

_TOKENS: Final = 1 << 18
_HEAD: Final = 128
_TAIL: Final = 128
_MOST_ROWS: Final = 16
_SHINGLE: Final = 4


class TextSketch(NamedTuple):
    """One prompt. ``whole`` tells equal prompts; ``pairs`` are its neighbouring tokens, in order;
    ``seconds`` the later token of each pair; ``bands`` stand for its template.
    """

    whole: int
    pairs: Buckets
    seconds: Buckets
    bands: tuple[int, ...]


class Sketcher:
    """Makes sketches by ``secret``.

    Args:
        secret: at least 16 random bytes.
        common: ids of an empty conversation: what every prompt holds says nothing of templates.
    """

    def __init__(self, secret: bytes, common: Sequence[int] = ()) -> None:
        stream = hashlib.shake_256(b"strongroom detection tokens" + secret)
        self._table = np.frombuffer(stream.digest(8 * (_TOKENS + 64)), dtype="<u8")
        self._odd = self._table[_TOKENS : _TOKENS + BANDS, None] | np.uint64(1)
        self._step = [h | np.uint64(1) for h in self._table[_TOKENS + BANDS :][:_SHINGLE]]
        self._seed = int.from_bytes(hashlib.blake2b(secret, digest_size=16).digest())
        self._projections: dict[int, Vectors] = {}
        self._common = np.zeros(1 << BUCKET_BITS, dtype=np.bool_)
        self._common[_buckets(self._shingles(self._hashes(common)))] = True

    def text(self, ids: Sequence[int]) -> TextSketch:
        """The sketch of a prompt: of its first 128 tokens and its last 128."""
        if len(ids) > _HEAD + _TAIL:
            ids = [*ids[:_HEAD], *ids[-_TAIL:]]
        hashes = self._hashes(ids)
        pairs = hashes[:-1] * self._step[0] + hashes[1:]
        shingles = self._shingles(hashes)
        shingles = shingles[~self._common[_buckets(shingles)]]
        bands: tuple[int, ...] = ()
        if shingles.size:
            lowest = np.multiply(self._odd, shingles).min(axis=1)
            bands = tuple(int(low) ^ band for band, low in enumerate(lowest))
        whole = hash(hashes.tobytes())
        return TextSketch(whole, _buckets(pairs), _buckets(hashes[1:]), bands)

    def rows(self, rows: Rows) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Projected inputs, ``(n, rank)``, and their classes; of many rows 16, evenly spaced."""
        kind = "<f4" if rows.dtype == "F32" else "u1"
        values = np.frombuffer(rows.data, dtype=kind).reshape(rows.rows, -1)
        labels = np.asarray(rows.labels, dtype=np.int64)
        if rows.rows > _MOST_ROWS:
            chosen = np.linspace(0, rows.rows - 1, _MOST_ROWS).astype(np.int64)
            values, labels = values[chosen], labels[chosen]
        return values.astype(np.float32) @ self._projection(values.shape[1]), labels

    def _hashes(self, ids: Sequence[int]) -> Hashes:
        hashes: Hashes = self._table[np.asarray(ids, dtype=np.int64) & (_TOKENS - 1)]
        return hashes

    def _shingles(self, hashes: Hashes) -> Hashes:
        """Hashes of four neighbouring tokens each; none for a shorter prompt."""
        length = max(0, len(hashes) - _SHINGLE + 1)
        total = np.zeros(length, dtype=np.uint64)
        for offset, step in enumerate(self._step):
            total += hashes[offset : offset + length] * step
        return total

    def _projection(self, width: int) -> Vectors:
        found = self._projections.get(width)
        if found is None:
            generator = np.random.default_rng(self._seed + width)
            rank = min(RANK, width)
            square = np.linalg.qr(generator.standard_normal((width, rank)))[0]
            found = self._projections[width] = square.astype(np.float32)
        return found


def _buckets(hashes: Hashes) -> Buckets:
    return (hashes >> np.uint64(64 - BUCKET_BITS)).astype(np.uint16)
