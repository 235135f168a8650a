"""Collect a Nitro attestation document through ``/dev/nsm``.

**Untested on hardware**: tested with a recorded document behind an injected ``ioctl``. Request and
structures are those of ``linux/nsm.h`` (Linux 6.8; earlier Amazon kernels have the same), the
messages those of aws-nitro-enclaves-nsm-api. Nothing here is believed: the verifier judges it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strongroom.attest.bundle import Bundle
from strongroom.attest.nitro import cbor
from strongroom.errors import EnvironmentLacks

DEVICE = Path("/dev/nsm")
RAW = 0xC0200A00  # _IOWR(0x0A, 0, 32 bytes)
MAX_INPUT, MAX_RESPONSE = 512, 0x3000
_CALL = struct.Struct("<QQQQ")

Ioctl = Callable[[int, int, bytearray], int]


@dataclass(frozen=True, slots=True)
class NsmCollector:
    """Collects a document that carries ``public_key``, if there is one."""

    public_key: bytes | None = None
    device: Path = DEVICE
    ioctl: Ioctl = fcntl.ioctl

    @property
    def kind(self) -> str:
        """The kind of evidence: ``nitro``."""
        return "nitro"

    def collect(self, report_data: bytes) -> Bundle:
        """A bundle whose document carries ``report_data`` (1 to 512 bytes) as nonce and user data.

        Raises:
            EnvironmentLacks: ``attest.nsm_missing`` or ``attest.nsm_failed``.
            ValueError: the input has not 1 to 512 bytes.
        """
        if not 1 <= len(report_data) <= MAX_INPUT:
            raise ValueError("the security module takes 1 to 512 bytes")
        try:
            descriptor = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentLacks(
                "attest.nsm_missing",
                f"{self.device} cannot be opened.",
                action="Run inside a Nitro enclave whose kernel has the driver nsm.",
            ) from error
        try:
            document = _document(self._ask(descriptor, _request(report_data, self.public_key)))
        except (OSError, ValueError) as error:
            raise EnvironmentLacks(
                "attest.nsm_failed",
                "The Nitro Security Module gave no document.",
                action="Check the length of the public key, and the enclave's console for errors.",
            ) from error
        finally:
            os.close(descriptor)
        return Bundle(kind="nitro", evidence={"document": document})

    def _ask(self, descriptor: int, message: bytes) -> bytes:
        request = ctypes.create_string_buffer(message, len(message))
        response = ctypes.create_string_buffer(MAX_RESPONSE)
        where = ctypes.addressof(request), ctypes.addressof(response)
        call = bytearray(_CALL.pack(where[0], len(message), where[1], MAX_RESPONSE))
        self.ioctl(descriptor, RAW, call)
        size = _CALL.unpack(call)[3]
        if size > MAX_RESPONSE:
            raise ValueError("the driver claims more than it was given room for")
        return response.raw[:size]


def _request(report_data: bytes, public_key: bytes | None) -> bytes:
    """{"Attestation": {"user_data": …, "nonce": …, "public_key": …}} in CBOR."""
    fields = {"user_data": report_data, "nonce": report_data, "public_key": public_key}
    inner = b"".join(_text(name) + _bytes(value) for name, value in fields.items())
    return b"\xa1" + _text("Attestation") + b"\xa3" + inner


def _text(value: str) -> bytes:
    return bytes([0x60 | len(value)]) + value.encode("ascii")


def _bytes(value: bytes | None) -> bytes:
    if value is None:
        return b"\xf6"
    size = len(value)
    if size < 24:
        return bytes([0x40 | size]) + value
    return (b"\x58" + bytes([size]) if size < 256 else b"\x59" + size.to_bytes(2, "big")) + value


def _document(response: bytes) -> bytes:
    match cbor.loads(response):
        case {"Attestation": {"document": bytes(document)}}:
            return document
    raise ValueError("the module answered with an error")
