"""From the owner's secret to keys that mark one tenant's answers.

HKDF-Expand with SHA-256 over the secret; its label names the scheme and the tenant. So a tenant
whose key leaks gives away nobody else's, and one secret is all that has to be kept to detect.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom.errors import ConfigurationRefused

SECRET_BYTES: Final = 32
_COMMITTED_BYTES: Final = 120
"""Of a tenant's key, as many as the scheme with the longest takes; others take fewer of them."""


def expand(secret: bytes, scheme: str, tenant: str, length: int) -> bytes:
    """``length`` bytes of one tenant's key.

    Raises:
        ConfigurationRefused: ``watermark.secret_malformed``.
    """
    if len(secret) != SECRET_BYTES:
        raise ConfigurationRefused(
            "watermark.secret_malformed",
            f"The watermark secret is not {SECRET_BYTES} bytes.",
            action="Make one with `strongroom watermark secret`, and keep a copy of it.",
        )
    label = f"strongroom watermark v1\n{scheme}\n{tenant}".encode()
    return HKDFExpand(algorithm=SHA256(), length=length, info=label).derive(secret)


def commitment(secret: bytes, scheme: str, tenant: str) -> str:
    """SHA-256 that fixes one tenant's key and tells nothing of it, hex: of its label, 32 salting
    bytes and the key. Who shows the latter two opens it, for this tenant alone.

    Raises:
        ConfigurationRefused: ``watermark.secret_malformed``.
    """
    label = f"strongroom watermark key v1\n{scheme}\n{tenant}\n".encode()
    salt = expand(secret, f"{scheme} commitment", tenant, 32)
    return hashlib.sha256(
        label + salt + expand(secret, scheme, tenant, _COMMITTED_BYTES)
    ).hexdigest()
