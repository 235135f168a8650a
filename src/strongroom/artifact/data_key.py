"""The data key of one sealed model: 32 bytes that can be wiped and are never shown."""

from __future__ import annotations

import ctypes
import os

from strongroom.artifact.secret_access import TOKEN, SecretAccess
from strongroom.errors import KeyRefused

KEY_BYTES = 32


class DataKey:
    """A 256-bit key held in one wipeable buffer.

    The buffer is private memory of this process; ``wipe`` overwrites it in place. ``repr`` and
    pickling never show it. Copies that a caller makes from ``reveal`` are the caller's to wipe.
    """

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, material: bytes | bytearray | memoryview) -> None:
        if len(material) != KEY_BYTES:
            raise KeyRefused(
                "keys.wrong_length",
                f"A data key has {KEY_BYTES} bytes, this has {len(material)}.",
                action="Check that the recipient stanza belongs to this model.",
            )
        self._buffer = bytearray(material)
        self._wiped = False

    @classmethod
    def generate(cls) -> DataKey:
        """A fresh key from the operating system's generator."""
        return cls(os.urandom(KEY_BYTES))

    def reveal(self, token: SecretAccess) -> memoryview:
        """A view of the key, for holders of ``secret_access.TOKEN`` only."""
        if token is not TOKEN:
            raise KeyRefused(
                "keys.no_access",
                "The data key was asked for without the access token.",
                action="Import TOKEN from strongroom.artifact.secret_access where the key is used.",
            )
        if self._wiped:
            raise KeyRefused(
                "keys.wiped", "The data key has been wiped.", action="Obtain the key again."
            )
        return memoryview(self._buffer)

    def wipe(self) -> None:
        """Overwrite the key in place. Idempotent."""
        size = len(self._buffer)
        ctypes.memset((ctypes.c_char * size).from_buffer(self._buffer), 0, size)
        self._wiped = True

    def __repr__(self) -> str:
        return f"DataKey({'wiped' if self._wiped else 'present'})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a DataKey cannot be pickled")
