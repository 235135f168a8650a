"""The inner layer that all symmetric wrappers share: a data key under a 256-bit key, bound.

1. ``binding`` names label, key id and context unambiguously (each preceded by its length).
2. ``seal`` encrypts with AES-256-GCM under a random 96-bit nonce, the binding as associated data.
3. ``unseal`` decrypts straight into a buffer that can be wiped.

AES-256-GCM and not AES-KW: key wrap (RFC 3394) takes no associated data, so nothing would bind a
stanza to its model. Random nonces are safe for 2^32 wraps under one key (SP 800-38D, 8.3); a key
that wraps once per sealed model stays far below.
"""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.artifact.data_key import KEY_BYTES, DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys import stanza, wiping

NONCE_BYTES = 12
TAG_BYTES = 16
SEALED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES


def binding(label: bytes, key_id: str, context: bytes) -> bytes:
    """What a wrapped key is bound to: ``label``, ``key_id`` and ``context``, length-prefixed."""
    parts = (label, key_id.encode(), context)
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def seal(kek: bytes | bytearray, key: DataKey, bound: bytes) -> bytes:
    """``nonce ‖ ciphertext ‖ tag`` of ``key`` under the 32-byte ``kek``: 60 bytes."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(kek).encrypt(nonce, key.reveal(TOKEN), bound)


def unseal(kek: bytes | bytearray, sealed: bytes, bound: bytes) -> DataKey:
    """The key that ``seal`` enclosed.

    Raises:
        KeyRefused: ``keys.altered`` if any bit of it, the key or the binding differs.
    """
    if len(sealed) != SEALED_BYTES:
        raise stanza.altered()
    plain = bytearray(KEY_BYTES)
    try:
        AESGCM(kek).decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound, plain)
        return DataKey(plain)
    except InvalidTag:
        raise stanza.altered() from None
    finally:
        wiping.wipe(plain)
