"""The table of certificates that a host may hand to an SNP guest beside its report.

Entries of GUID, offset and length, ended by zeros, then the certificates (GHCB specification 2.03,
section 4.1.8.1). A host may hand out nothing, or anything: a verifier judges what it is.
"""

from __future__ import annotations

import struct
from uuid import UUID

ORDER = (
    UUID("63da758d-e664-4564-adc5-f4b93be8accd"),  # VCEK
    UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1"),  # VLEK
    UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"),  # ASK or ASVK
    UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"),  # ARK
)
MAX_ENTRIES = 32
_ENTRY = struct.Struct("<16sII")


def read(table: bytes) -> tuple[bytes, ...]:
    """The certificates, the chip's first and the root last; those that are not there are left out.

    Raises:
        ValueError: an entry points outside the table, or there are too many.
    """
    found: dict[UUID, bytes] = {}
    for at in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        name, offset, size = _ENTRY.unpack_from(table, at)
        if not any(name):
            break
        if at >= MAX_ENTRIES * _ENTRY.size or offset + size > len(table):
            raise ValueError("the certificate table is not framed as it should be")
        content = table[offset : offset + size]
        # Tools write the GUID in either byte order; no two of these coincide.
        found[UUID(bytes=name)] = found[UUID(bytes_le=name)] = content
    return tuple(found[name] for name in ORDER if name in found)
