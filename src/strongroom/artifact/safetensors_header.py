"""A strict reader of safetensors headers; the file may be hostile.

A safetensors file is ``u64le N ‖ N bytes of JSON ‖ data``. Refused: a header longer than the file
or than 100 MB, anything but one object of tensors (and ``__metadata__``), duplicate names, unknown
fields or types, offsets that do not fit type and shape, gaps, overlaps, and data left over.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from strongroom.artifact.dtypes import size_in_bytes
from strongroom.artifact.folder import read_into
from strongroom.artifact.reasons import refuse, shown

MAX_HEADER_BYTES = 100_000_000
_LENGTH_BYTES = 8
_METADATA = "__metadata__"

Extent = Annotated[int, Meta(ge=0, le=2**53 - 1)]


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """One tensor of a safetensors file; ``offset`` counts from the file's beginning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[tuple[Extent, ...], Meta(max_length=64)]
    data_offsets: tuple[Extent, Extent]


def read_header(fd: int, name: str) -> tuple[SourceTensor, ...]:
    """The tensors of the open file, in the order of their data."""
    size = os.fstat(fd).st_size
    prefix = _read(fd, 0, min(_LENGTH_BYTES, size), name)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
        raise _malformed(name, "its header does not fit the file")
    entries = _decode(_read(fd, _LENGTH_BYTES, length, name), name)
    data = _LENGTH_BYTES + length
    tensors = [
        SourceTensor(key, e.dtype, e.shape, data + e.data_offsets[0], _size(e, key, name))
        for key, e in entries.items()
    ]
    tensors.sort(key=lambda t: (t.offset, t.nbytes))
    _require_contiguous(tensors, data, size, name)
    return tuple(tensors)


def _read(fd: int, offset: int, size: int, name: str) -> bytes:
    raw = bytearray(size)
    if read_into(fd, memoryview(raw), offset, name) != size:
        raise refuse("artifact.changed_while_reading", name=shown(name))
    return bytes(raw)


def _decode(raw: bytes, name: str) -> dict[str, _Entry]:
    if not raw.startswith(b"{"):
        raise _malformed(name, "its header is not an object")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
        document.pop(_METADATA, None)
        return msgspec.convert(document, dict[str, _Entry])
    except _Duplicate:
        raise _malformed(name, "a name occurs twice in its header") from None
    except (ValueError, RecursionError, AttributeError):  # msgspec's errors are ValueErrors
        raise _malformed(name, "its header does not describe tensors") from None


class _Duplicate(Exception):
    """A JSON object names a member twice."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Duplicate
    return members


def _size(entry: _Entry, tensor: str, name: str) -> int:
    size = size_in_bytes(entry.dtype, entry.shape)
    begin, end = entry.data_offsets
    if size is None:
        raise _malformed(name, f"tensor {shown(tensor)} has an unknown type or splits a byte")
    if end - begin != size:
        raise _malformed(name, f"tensor {shown(tensor)} does not have the size of its shape")
    return size


def _require_contiguous(tensors: list[SourceTensor], data: int, size: int, name: str) -> None:
    at = data
    for tensor in tensors:
        if tensor.offset != at:
            raise _malformed(name, f"data overlap or leave a gap at tensor {shown(tensor.name)}")
        at += tensor.nbytes
    if at != size:
        raise _malformed(name, "its length is not what its header describes")


def _malformed(name: str, problem: str) -> Exception:
    return refuse("artifact.source_malformed", name=shown(name), problem=problem)
