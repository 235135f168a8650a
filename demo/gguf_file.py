"""Reads the one kind of GGUF file that the demonstration needs, without trusting its lengths.

GGUF version 3, little-endian: a header, typed key-value metadata, a table of tensors, then the
tensor data, aligned. Three tensor types are understood: F32, and llama.cpp's block formats Q4_1
and Q8_0, which are widened to float32 with the arithmetic of its reference implementation
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ``ggml-quants.c``).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"GGUF"
VERSION = 3
BLOCK = 32
"""Values in one quantised block."""

_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BLOCK_BYTES = {_Q4_1: 2 + 2 + BLOCK // 2, _Q8_0: 2 + BLOCK}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One entry of the tensor table; ``shape`` is in row-major order, ``offset`` in the file."""

    kind: int
    shape: tuple[int, ...]
    offset: int

    @property
    def values(self) -> int:
        """How many numbers the tensor holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """How many bytes the tensor takes in the file."""
        if self.kind == _F32:
            return self.values * 4
        if self.kind in _BLOCK_BYTES and self.shape[-1] % BLOCK == 0:
            return self.values // BLOCK * _BLOCK_BYTES[self.kind]
        raise ValueError(f"tensor type {self.kind} of shape {self.shape} is not supported")


class GgufFile:
    """Metadata and tensors of one file. Use as a context manager; ``ValueError`` if malformed."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, GgufTensor] = {}
        try:
            self._read_tables()
        except struct.error as error:
            raise ValueError(f"{path} ends inside its tables") from error

    def __enter__(self) -> GgufFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._map.close()

    def float32(self, name: str) -> np.ndarray:
        """The tensor ``name`` as a fresh float32 array of its row-major shape."""
        tensor = self.tensors[name]
        end = tensor.offset + tensor.nbytes
        if end > len(self._map):
            raise ValueError(f"tensor {name} reaches past the end of the file")
        raw = np.frombuffer(self._map[tensor.offset : end], dtype=np.uint8)
        if tensor.kind == _F32:
            return raw.view("<f4").reshape(tensor.shape)
        widen = _widen_q4_1 if tensor.kind == _Q4_1 else _widen_q8_0
        return widen(raw.reshape(-1, _BLOCK_BYTES[tensor.kind])).reshape(tensor.shape)

    def _read_tables(self) -> None:
        magic, version = self._map[:4], struct.unpack_from("<I", self._map, 4)[0]
        if magic != MAGIC or version != VERSION:
            raise ValueError(f"not a GGUF file of version {VERSION}")
        self._at = 8
        tensors, pairs = self._scalar("Q"), self._scalar("Q")
        for _ in range(pairs):
            key = self._string()
            self.metadata[key] = self._value(self._scalar("I"))
        entries = [self._tensor_entry() for _ in range(tensors)]
        align = int(self.metadata.get("general.alignment", 32))
        data = -(-self._at // align) * align
        for name, kind, shape, offset in entries:
            self.tensors[name] = GgufTensor(kind, shape, data + offset)

    def _tensor_entry(self) -> tuple[str, int, tuple[int, ...], int]:
        name, axes = self._string(), self._scalar("I")
        shape = tuple(self._scalar("Q") for _ in range(axes))
        kind, offset = self._scalar("I"), self._scalar("Q")
        return name, kind, shape[::-1], offset  # the file lists the fastest axis first

    def _scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self._map, self._at)
        self._at += struct.calcsize("<" + code)
        return value

    def _string(self) -> str:
        length = self._scalar("Q")
        start, self._at = self._at, self._at + length
        if self._at > len(self._map):
            raise ValueError("a string reaches past the end of the file")
        return self._map[start : self._at].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, count = self._scalar("I"), self._scalar("Q")
            return [self._value(item) for _ in range(count)]
        raise ValueError(f"metadata type {kind} is not supported")


def _widen_q4_1(blocks: np.ndarray) -> np.ndarray:
    """Blocks of scale, minimum and 32 nibbles: ``scale * nibble + minimum``."""
    scale = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
    minimum = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate((blocks[:, 4:] & 0x0F, blocks[:, 4:] >> 4), axis=1)
    return scale * nibbles.astype(np.float32) + minimum


def _widen_q8_0(blocks: np.ndarray) -> np.ndarray:
    """Blocks of scale and 32 signed bytes: ``scale * byte``."""
    scale = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
    return blocks[:, 2:].copy().view(np.int8).astype(np.float32) * scale
