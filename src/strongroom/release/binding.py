"""What ties a request, its evidence, the answer and the encrypted key to each other.

Evidence carries SHA-384 over the canonical JSON (RFC 8785) of three texts, and zeros behind it::

    {"additional-evidence": ..., "nonce": ..., "tee-pubkey": ...}

``additional-evidence`` is the devices' evidence as sent, ``tee-pubkey`` the base64 of the key that
the release is encrypted to, and ``nonce`` the base64 of session ‖ nonce ‖ SHA-256(runtime data as
sent), so that nothing of a request can be changed under its evidence. A device answers the first
32 bytes of SHA-384 over the latter two (``attest.nvidia.nonce.gpu_nonce``).
"""

from __future__ import annotations

import base64
import hashlib
import struct

from strongroom.attest.nvidia.nonce import gpu_nonce
from strongroom.release.kbs.binding import REPORT_BYTES, canonical
from strongroom.release.messages import Runtime

_INFO_LABEL = b"strongroom release key v1"

DIGEST_BYTES = 48
"""How much of the report data is not zero."""


def report_data(runtime: Runtime, encoded: bytes, additional: bytes) -> bytes:
    """The 64 bytes that the guest's evidence must carry.

    Args:
        runtime: the runtime data.
        encoded: the same, exactly as they are sent.
        additional: the devices' evidence as it is sent, UTF-8; empty if there is none.
    """
    content = {
        "additional-evidence": additional.decode("utf-8"),
        "nonce": _nonce(runtime, encoded),
        "tee-pubkey": _key(runtime),
    }
    return hashlib.sha384(canonical(content)).digest().ljust(REPORT_BYTES, b"\0")


def device_nonce(runtime: Runtime, encoded: bytes) -> bytes:
    """The 32 bytes that the guest's devices must answer; arguments as ``report_data``."""
    return gpu_nonce(_key(runtime), _nonce(runtime, encoded))


def info(session: bytes, nonce: bytes, evidence: bytes, policy_digest: str, key_id: str) -> bytes:
    """HPKE ``info`` of a released key: the label ‖ SHA-256 of all that led to its release."""
    bound = _joined(session, nonce, evidence, policy_digest.encode(), key_id.encode())
    return _INFO_LABEL + hashlib.sha256(bound).digest()


def sha256(data: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(data).hexdigest()


def _key(runtime: Runtime) -> str:
    return base64.b64encode(runtime.tee_public).decode("ascii")


def _nonce(runtime: Runtime, encoded: bytes) -> str:
    asked = runtime.session + runtime.nonce + hashlib.sha256(encoded).digest()
    return base64.b64encode(asked).decode("ascii")


def _joined(*parts: bytes) -> bytes:
    # Lengths in front, so that no two lists of parts give the same bytes.
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
