"""Tensors over the arena: no copy is made, so there is one place to protect and to wipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import torch

from strongroom.errors import ArtifactRefused

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
"""Element types by their safetensors names. Types narrower than a byte have no torch tensor."""


class Entry(Protocol):
    """Where a tensor lies: a safetensors dtype name, a shape, offset and length in bytes."""

    @property
    def dtype(self) -> str:
        """Such as ``BF16``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Empty for a scalar."""

    @property
    def offset(self) -> int:
        """Bytes from the start of the arena."""

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""


def tensors_over(arena: memoryview, entries: Mapping[str, Entry]) -> dict[str, torch.Tensor]:
    """Tensors that alias ``arena``; they must only be read.

    Raises:
        ArtifactRefused: ``keeper.dtype_unsupported`` or ``keeper.tensor_misplaced``.
    """
    return {name: _tensor(arena, entry) for name, entry in entries.items()}


def _tensor(arena: memoryview, entry: Entry) -> torch.Tensor:
    dtype = DTYPES.get(entry.dtype)
    if dtype is None:
        raise ArtifactRefused(
            "keeper.dtype_unsupported",
            f"A tensor has the element type {entry.dtype[:16]}, which the keeper cannot serve.",
            action="Convert the model to a type of whole bytes and seal it again.",
        )
    count = torch.Size(entry.shape).numel()
    fits = entry.nbytes == count * dtype.itemsize and entry.offset + entry.nbytes <= len(arena)
    if not fits or entry.offset % dtype.itemsize:
        raise ArtifactRefused(
            "keeper.tensor_misplaced",
            "A tensor's place in the sealed index does not fit its shape and type.",
            action="Seal the model again with this version.",
        )
    if count == 0:  # frombuffer refuses to make an empty tensor
        return torch.empty(entry.shape, dtype=dtype)
    flat = torch.frombuffer(arena, dtype=dtype, count=count, offset=entry.offset)
    return flat.reshape(entry.shape)
