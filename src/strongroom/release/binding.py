"""What ties a request, its evidence, the answer and the encrypted key to each other."""

from __future__ import annotations

import hashlib
import struct

_REPORT_LABEL = b"strongroom release runtime v1"
_INFO_LABEL = b"strongroom release key v1"

REPORT_BYTES = 48


def report_data(runtime: bytes) -> bytes:
    """What evidence must carry: SHA-384 over the runtime data exactly as they are sent."""
    return hashlib.sha384(_joined(_REPORT_LABEL, runtime)).digest()


def info(session: bytes, nonce: bytes, evidence: bytes, policy_digest: str, key_id: str) -> bytes:
    """HPKE ``info`` of a released key: the label ‖ SHA-256 of all that led to its release."""
    bound = _joined(session, nonce, evidence, policy_digest.encode(), key_id.encode())
    return _INFO_LABEL + hashlib.sha256(bound).digest()


def sha256(data: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(data).hexdigest()


def _joined(*parts: bytes) -> bytes:
    # Lengths in front, so that no two lists of parts give the same bytes.
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
