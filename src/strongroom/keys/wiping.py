"""Overwriting secrets where they lie.

A ``bytearray`` can be overwritten by anybody. Some of pyca's calls hand a secret back as
``bytes``; that object is private to us at that moment, and leaving it to the allocator would keep
the secret readable in freed memory until something else happens to land there. So it is
overwritten in place too, which CPython's object layout permits.
"""

from __future__ import annotations

import ctypes
import sys

_HEADER = sys.getsizeof(b"") - 1
"""Bytes of a ``bytes`` object in front of its content: all of an empty one but the closing NUL."""


def wipe(buffer: bytearray | memoryview) -> None:
    """Overwrite a mutable buffer with zeros, in place and without a second copy."""
    size = len(buffer)
    if size:
        ctypes.memset((ctypes.c_char * size).from_buffer(buffer), 0, size)


def wipe_bytes(secret: bytes) -> None:
    """Overwrite a ``bytes`` object that a library has just returned and nobody else holds.

    Objects of fewer than two bytes are shared by the interpreter and left alone; so is everything
    on an interpreter other than CPython, whose layout is not known.
    """
    if len(secret) > 1 and sys.implementation.name == "cpython":
        ctypes.memset(id(secret) + _HEADER, 0, len(secret))
