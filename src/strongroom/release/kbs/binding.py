"""What a guest's evidence must commit to: SHA-384 over the canonical JSON of its runtime data.

The CPU's report data is the digest of ``{"additional-evidence", "nonce", "tee-pubkey"}`` and zeros
behind it, so that the CPU speaks for the key, the challenge and what the devices say; a device
answers the first 32 bytes of the digest of ``{"nonce", "tee-pubkey"}`` (``attest.nvidia``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

REPORT_BYTES: Final = 64


def report_data(tee_pubkey: Mapping[str, str], nonce: str, additional_evidence: str) -> bytes:
    """The 64 bytes that the CPU's evidence must carry.

    Args:
        tee_pubkey: the guest's public key as it was sent, names in ASCII.
        nonce: the challenge as it was sent.
        additional_evidence: the devices' evidence, the very text that was sent.
    """
    content = {
        "additional-evidence": additional_evidence,
        "nonce": nonce,
        "tee-pubkey": dict(tee_pubkey),
    }
    return hashlib.sha384(canonical(content)).digest().ljust(REPORT_BYTES, b"\0")


def canonical(content: Mapping[str, object]) -> bytes:
    """RFC 8785 for objects and texts, with names in ASCII (whose order by byte is its order).

    Raises:
        UnicodeEncodeError: a text holds half of a surrogate pair.
    """
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")
