"""The element types that safetensors has, and their widths in bits."""

from __future__ import annotations

from math import prod
from typing import Final

BITS: Final = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


def size_in_bytes(dtype: str, shape: tuple[int, ...]) -> int | None:
    """Bytes of a tensor, or None if the type is unknown or its bits do not fill whole bytes."""
    bits = BITS.get(dtype)
    if bits is None:
        return None
    total = prod(shape) * bits
    return total // 8 if total % 8 == 0 else None
