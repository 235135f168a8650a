"""FLOE: random-access authenticated encryption in segments (c2sp.org/FLOE).

A ciphertext is a header and one or more segments. Names follow the specification.

1. ``FLOE_KDF(key, iv, aad, purpose, n)`` is HKDF-Expand-SHA-384 with
   ``info = parameters ‖ iv ‖ purpose ‖ aad``.
2. The header is ``parameters (10) ‖ iv (32) ‖ FLOE_KDF(key, …, "HEADER_TAG:", 32)``. It commits to
   key and associated data, and is compared in constant time.
3. ``MESSAGE_KEY`` is ``FLOE_KDF(key, …, "MESSAGE_KEY:", 48)``.
4. Segment keys are ``FLOE_KDF(MESSAGE_KEY, …, "DEK:" ‖ u64be(position))`` with the low 20 bits of
   the position cleared, so that one AES key serves 2^20 segments at most.
5. A segment is ``u32be length ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)``. The length is
   0xFFFFFFFF in all segments but the last, where it is the whole segment's length. Its associated
   data are ``u64be(position) ‖ final``, so no segment can stand elsewhere or end the body early.

The caller says which segment is last, from a length that it has reason to trust.
"""

from __future__ import annotations

import ctypes
import hmac
import os
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

Buffer = bytes | bytearray | memoryview

IV_BYTES = 32
PARAMETER_BYTES = 10
HEADER_TAG_BYTES = 32
HEADER_BYTES = PARAMETER_BYTES + IV_BYTES + HEADER_TAG_BYTES
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD = 4 + NONCE_BYTES + TAG_BYTES
_NOT_FINAL = 0xFFFFFFFF
_MESSAGE_KEY_BYTES = 48
_AEAD_KEY_BYTES = 32


class FloeError(Exception):
    """The ciphertext is not authentic at the place where it stands. Carries no detail."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A parameter set: length of an encrypted segment, and log2 of the segments a key serves."""

    segment_bytes: int
    rotation_bits: int = 20

    @property
    def plaintext_bytes(self) -> int:
        """Plaintext bytes in a full segment."""
        return self.segment_bytes - OVERHEAD

    @property
    def encoded(self) -> bytes:
        """``AEAD_ID ‖ HASH_ID ‖ ENC_SEG_LEN ‖ FLOE_IV_LEN``; both ids are 0."""
        return struct.pack(">BBII", 0, 0, self.segment_bytes, IV_BYTES)


GCM256_IV256_4K = Parameters(4 * 1024)
GCM256_IV256_1M = Parameters(1024 * 1024)


class Floe:
    """The keyed state of one ciphertext; segments may be worked on from several threads.

    ``close`` overwrites the message key and drops the AES schedules.
    """

    __slots__ = ("_aad", "_ciphers", "_iv", "_message_key", "parameters")

    def __init__(self, parameters: Parameters, key: Buffer, iv: bytes, aad: bytes) -> None:
        self.parameters = parameters
        self._iv = iv
        self._aad = aad
        self._ciphers: dict[int, AESGCM] = {}
        self._message_key = self._derive(key, b"MESSAGE_KEY:", _MESSAGE_KEY_BYTES)  # (3)

    @classmethod
    def start_encryption(
        cls, parameters: Parameters, key: Buffer, aad: bytes
    ) -> tuple[Floe, bytes]:
        """A fresh ciphertext's state and its header. ``key`` has 32 bytes."""
        iv = os.urandom(IV_BYTES)
        state = cls(parameters, key, iv, aad)
        tag = bytes(state._derive(key, b"HEADER_TAG:", HEADER_TAG_BYTES))
        return state, parameters.encoded + iv + tag  # (2)

    @classmethod
    def start_decryption(
        cls, parameters: Parameters, key: Buffer, aad: bytes, header: Buffer
    ) -> Floe:
        """State to read the ciphertext that begins with ``header``; ``FloeError`` if not ours."""
        raw = bytes(header)
        if len(raw) != HEADER_BYTES or raw[:PARAMETER_BYTES] != parameters.encoded:
            raise FloeError
        state = cls(parameters, key, raw[PARAMETER_BYTES : PARAMETER_BYTES + IV_BYTES], aad)
        expected = state._derive(key, b"HEADER_TAG:", HEADER_TAG_BYTES)
        if not hmac.compare_digest(expected, raw[-HEADER_TAG_BYTES:]):  # (2)
            state.close()
            raise FloeError
        return state

    def encrypt_segment(
        self, position: int, final: bool, plaintext: Buffer, out: memoryview
    ) -> int:
        """Encrypt into ``out``; returns the segment's length, ``len(plaintext) + OVERHEAD``."""
        full = len(plaintext) == self.parameters.plaintext_bytes
        if len(plaintext) > self.parameters.plaintext_bytes or not (full or final):
            raise ValueError("only the last segment may be short")
        length = len(plaintext) + OVERHEAD
        nonce = os.urandom(NONCE_BYTES)
        out[:16] = struct.pack(">I", length if final else _NOT_FINAL) + nonce  # (5)
        self._cipher(position).encrypt_into(
            nonce, plaintext, _segment_aad(position, final), out[16:length]
        )
        return length

    def decrypt_segment(
        self, position: int, final: bool, segment: memoryview, out: memoryview
    ) -> None:
        """Decrypt ``segment`` into ``out``, which has exactly its plaintext length.

        ``FloeError`` if it is not authentic here; ``out`` then holds nothing of worth.
        """
        length = len(segment)
        if not (OVERHEAD <= length <= self.parameters.segment_bytes):
            raise FloeError
        if not final and length != self.parameters.segment_bytes:
            raise FloeError
        if int.from_bytes(segment[:4], "big") != (length if final else _NOT_FINAL):
            raise FloeError
        try:
            self._cipher(position).decrypt_into(
                segment[4:16], segment[16:], _segment_aad(position, final), out
            )
        except InvalidTag:
            raise FloeError from None

    def close(self) -> None:
        """Overwrite the message key and drop the ciphers. Idempotent."""
        _wipe(self._message_key)
        self._ciphers.clear()

    def _cipher(self, position: int) -> AESGCM:
        epoch = position >> self.parameters.rotation_bits << self.parameters.rotation_bits
        cipher = self._ciphers.get(epoch)
        if cipher is None:  # two threads may both derive it, which does no harm
            purpose = b"DEK:" + struct.pack(">Q", epoch)  # (4)
            segment_key = self._derive(self._message_key, purpose, _AEAD_KEY_BYTES)
            cipher = self._ciphers[epoch] = AESGCM(segment_key)
            _wipe(segment_key)
        return cipher

    def _derive(self, key: Buffer, purpose: bytes, length: int) -> bytearray:
        info = self.parameters.encoded + self._iv + purpose + self._aad  # (1)
        out = bytearray(length)
        HKDFExpand(algorithm=SHA384(), length=length, info=info).derive_into(key, out)
        return out


def _segment_aad(position: int, final: bool) -> bytes:
    return struct.pack(">QB", position, final)


def _wipe(buffer: bytearray) -> None:
    ctypes.memset((ctypes.c_char * len(buffer)).from_buffer(buffer), 0, len(buffer))
