"""The nonce that ties a GPU's evidence to the CPU's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from strongroom.attest.interface import refusal
from strongroom.attest.nvidia.reasons import REASONS

Jwk = Mapping[str, str]


def gpu_nonce(tee_pubkey: Jwk | str, nonce: str) -> bytes:
    """The 32-byte nonce that a GPU must answer so that the CPU's evidence commits to it.

    It is the first half and a little more (32 of 48 bytes) of SHA-384 over the canonical JSON
    (RFC 8785) of ``{"nonce": nonce, "tee-pubkey": tee_pubkey}``: the GPU's answer is tied to the
    key to which a release will be encrypted and to the challenge, and the GPU's evidence then
    goes into the CPU's report data as additional evidence.

    Args:
        tee_pubkey: the workload's ephemeral public key, a JWK of strings or one string.
        nonce: the challenge's nonce as it stands in the runtime data.

    Raises:
        AttestationRefused: ``attest.nvidia_evidence`` if the key is anything but strings.
    """
    flat = [tee_pubkey] if isinstance(tee_pubkey, str) else [*tee_pubkey, *tee_pubkey.values()]
    names = [] if isinstance(tee_pubkey, str) else list(tee_pubkey)
    if not all(isinstance(entry, str) for entry in [*flat, nonce]):
        raise refusal(REASONS, "attest.nvidia_evidence")
    # Sorting by code point is RFC 8785's order (UTF-16 units) for ASCII names.
    if not all(name.isascii() for name in names):
        raise refusal(REASONS, "attest.nvidia_evidence")
    key = tee_pubkey if isinstance(tee_pubkey, str) else dict(tee_pubkey)
    text = json.dumps(
        {"nonce": nonce, "tee-pubkey": key},
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    try:
        return hashlib.sha384(text.encode("utf-8")).digest()[:32]
    except UnicodeEncodeError as error:
        raise refusal(REASONS, "attest.nvidia_evidence") from error
