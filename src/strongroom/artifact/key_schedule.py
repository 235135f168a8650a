"""What is derived from a data key besides FLOE's own keys, and what each part is bound to."""

from __future__ import annotations

import hmac
import struct

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.reasons import refuse
from strongroom.artifact.secret_access import TOKEN

_COMMITMENT_LABEL = b"strongroom sealed-model v1 key commitment\x00"
_PART_LABEL = b"strongroom sealed-model v1 part\x00"
COMMITMENT_BYTES = 32


def commitment(key: DataKey, seal_id: str) -> bytes:
    """``HKDF-Expand-SHA-384(data key, label ‖ seal id, 32)``: commits a seal to one key."""
    info = _COMMITMENT_LABEL + bytes.fromhex(seal_id)
    return HKDFExpand(SHA384(), COMMITMENT_BYTES, info).derive(key.reveal(TOKEN))


def require_key(key: DataKey, seal_id: str, expected: str) -> None:
    """``artifact.wrong_key`` unless ``key`` is the one the manifest commits to."""
    if not hmac.compare_digest(commitment(key, seal_id), bytes.fromhex(expected)):
        raise refuse("artifact.wrong_key")


def part_aad(seal_id: str, role: str, shard: int, shards: int) -> bytes:
    """FLOE's associated data: this part of this sealing, and no other."""
    name = role.encode("ascii")
    place = struct.pack(">II", shard, shards)
    return _PART_LABEL + bytes.fromhex(seal_id) + bytes([len(name)]) + name + place
