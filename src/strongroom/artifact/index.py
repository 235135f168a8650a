"""The sealed index: what the weights and files are, and the owner's policy (spec section 5).

Names, dtypes and shapes are the architecture, hence secret. The index is canonical JSON behind a
64-bit length, padded with zeros to a power of two of at least 16 KiB, so that its size says
little. Tensors stand in the order of their offsets in the arena: the concatenation of all weights
parts' plaintexts. The layout is the only one possible, so nothing hides between tensors:

1. each tensor begins at the first multiple of 64 after the one before, or at the next part;
2. no tensor crosses the end of its part;
3. the last tensor of a part ends less than 64 bytes before the part's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact import canonical
from strongroom.artifact.dtypes import size_in_bytes
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.reasons import refuse

ALIGNMENT = 64
SMALLEST_PADDED = 16 * 1024
_LENGTH_BYTES = 8

Natural = Annotated[int, Meta(ge=0, le=canonical.MAX_INTEGER)]
Dtype = Annotated[str, Meta(min_length=1, max_length=16)]
FileName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")]


class IndexedTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor: its name, element type, shape, and offset in the arena in bytes."""

    name: str
    dtype: Dtype
    shape: Annotated[tuple[Natural, ...], Meta(max_length=64)]
    offset: Natural

    @property
    def nbytes(self) -> int:
        """Length in bytes; ``artifact.index_invalid`` if type and shape make no whole bytes."""
        size = size_in_bytes(self.dtype, self.shape)
        if size is None:
            raise refuse("artifact.index_invalid")
        return size


class IndexedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of ``files.floe``; files lie there in this order without gaps."""

    name: FileName
    length: Natural


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the sealed index says."""

    version: Literal[1]
    policy: DisclosurePolicy
    files: Annotated[tuple[IndexedFile, ...], Meta(max_length=1024)]
    tensors: tuple[IndexedTensor, ...]


def aligned(offset: int) -> int:
    """``offset`` rounded up to the alignment of tensors."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def padded_size(size: int) -> int:
    """The power of two, at least 16 KiB, that ``size`` bytes are padded to."""
    return max(SMALLEST_PADDED, 1 << max(0, size - 1).bit_length())


def encode(index: Index) -> bytes:
    """Padded plaintext of ``index.floe``."""
    raw = canonical.encode(index)
    framed = len(raw).to_bytes(_LENGTH_BYTES, "big") + raw
    return framed.ljust(padded_size(len(framed)), b"\0")


def decode(plaintext: bytes | bytearray) -> Index:
    """The index in a padded plaintext, of canonical form and exact padding."""
    end = _LENGTH_BYTES + int.from_bytes(plaintext[:_LENGTH_BYTES], "big")
    padding = len(plaintext) - end
    if padding < 0 or len(plaintext) != padded_size(end):
        raise refuse("artifact.index_invalid")
    if plaintext.count(0, end) != padding:
        raise refuse("artifact.index_invalid")
    return canonical.decode(bytes(plaintext[_LENGTH_BYTES:end]), Index, "the sealed index")


def require_layout(index: Index, part_sizes: Sequence[int], files_size: int) -> None:
    """Rules 1 to 3 for these parts' plaintext sizes, unique names, and files that fit."""
    names = [t.name for t in index.tensors]
    file_names = [f.name for f in index.files]
    if len(set(names)) != len(names) or len(set(file_names)) != len(file_names):
        raise refuse("artifact.index_invalid")
    if padded_size(sum(f.length for f in index.files)) != files_size:
        raise refuse("artifact.index_invalid")
    _require_tensor_layout(index.tensors, part_sizes)


def _require_tensor_layout(tensors: Sequence[IndexedTensor], part_sizes: Sequence[int]) -> None:
    part, start, end = 0, 0, part_sizes[0]
    at = 0
    for tensor in tensors:
        while tensor.offset != aligned(at) or tensor.offset + tensor.nbytes > end:
            if aligned(at) != end or part + 1 == len(part_sizes):  # (3)
                raise refuse("artifact.index_invalid")
            part, start = part + 1, end  # (1)
            end = start + part_sizes[part]
            at = start
        at = tensor.offset + tensor.nbytes  # (2)
    rest = part_sizes[part + 1 :]
    if aligned(at) != end or any(rest):
        raise refuse("artifact.index_invalid")
