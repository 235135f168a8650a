"""What is to be sealed, from memory: weights that were made here and never lay on a disk.

They are written as safetensors into an anonymous file (``memfd_create``), which has no name, is
never on a disk, and goes when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from strongroom.artifact.safetensors_header import read_header
from strongroom.artifact.source import Shard, Source, status_of


@dataclass(frozen=True, slots=True, repr=False)
class Plain:
    """A tensor: safetensors dtype name, shape, and its little-endian, row-major bytes."""

    dtype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview


def memory_source(
    name: str, tensors: Mapping[str, Plain], files: Mapping[str, bytes], stack: ExitStack
) -> Source:
    """A source of one shard ``name``; its memory is held until ``stack`` closes.

    Raises:
        ArtifactRefused: ``artifact.source_malformed``: a tensor's bytes do not fit its shape.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    header: dict[str, object] = {}
    at = 0
    for key, tensor in tensors.items():
        stop = at + memoryview(tensor.raw).nbytes
        offsets = (at, stop)
        header[key] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
        at = stop
    text = msgspec.json.encode(header)
    with open(fd, "wb", closefd=False) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.raw)
    shard = Shard(name, fd, read_header(fd, name), status_of(fd))
    return Source((shard,), dict(sorted(files.items())))
