"""What the tests of the collectors share."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

import pytest

from strongroom.errors import EnvironmentLacks

#: The collectors read the length of a report only; the verifier judges the rest.
SNP_REPORT = bytes(range(256)) * 4 + bytes(160)


def table(entries: Mapping[UUID, bytes], *, little: bool = True) -> bytes:
    """A certificate table as hosts write it."""
    offset = 24 * (len(entries) + 1)
    head = body = b""
    for name, content in entries.items():
        raw = name.bytes_le if little else name.bytes
        head += raw + struct.pack("<II", offset + len(body), len(content))
        body += content
    return head + bytes(24) + body


@contextmanager
def lacks(code: str) -> Iterator[None]:
    """The block ends because the machine lacks something, with exactly ``code``."""
    with pytest.raises(EnvironmentLacks) as caught:
        yield
    assert caught.value.code == code
