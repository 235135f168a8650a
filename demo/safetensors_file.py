"""Writes a safetensors file tensor by tensor, so that converting never holds a whole model.

Layout (https://github.com/huggingface/safetensors): eight bytes, the length of the header; the
header, JSON padded with spaces to a multiple of eight; the tensors' bytes in the header's order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ITEM_BYTES = {"BF16": 2, "F32": 4}


@dataclass(frozen=True, slots=True)
class TensorSource:
    """One tensor to be: its safetensors dtype, its shape, and where its array comes from."""

    dtype: str
    shape: tuple[int, ...]
    array: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """How many bytes the tensor takes in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * _ITEM_BYTES[self.dtype]


def write_safetensors(path: Path, tensors: Mapping[str, TensorSource]) -> None:
    """Write ``tensors``, sorted by name, to the new file ``path``.

    Raises:
        ValueError: an array has another size than its source announced.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, source in sorted(tensors.items()):
        span = [offset, offset + source.nbytes]
        header[name] = {"dtype": source.dtype, "shape": source.shape, "data_offsets": span}
        offset += source.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, source in sorted(tensors.items()):
            array = np.ascontiguousarray(source.array())
            if array.nbytes != source.nbytes:
                raise ValueError(f"{name} has {array.nbytes} bytes, expected {source.nbytes}")
            file.write(array.data)
