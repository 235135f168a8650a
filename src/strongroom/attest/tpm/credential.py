"""Make a credential that only one TPM can open (TPM2_MakeCredential; part 1, section 24).

The verifier encrypts a secret to an endorsement key (EK) for the name of an attestation key (AK).
TPM2_ActivateCredential gives the secret out only on the TPM that holds the EK, and only while it
holds a key of exactly that name: so the AK lives beside the EK. RSA 2048 endorsement keys with
AES-128 and SHA-256, which is the TCG's default template; others are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.attest.interface import refusal
from strongroom.attest.tpm.reasons import REASONS

SECRET = 32
# The header of the file that tpm2_activatecredential reads: magic and version.
FILE_HEAD = bytes.fromhex("badcc0de00000001")


def make(ek_public: bytes, ak_name: bytes, secret: bytes | None = None) -> tuple[bytes, bytes]:
    """Make a credential.

    Args:
        ek_public: the EK as SubjectPublicKeyInfo in DER; RSA of 2048 bits.
        ak_name: the AK's name, 34 bytes; see :func:`.ak.name_of`.
        secret: what to hide, at most 32 bytes; 32 random bytes if left out.

    Returns:
        The secret, to be kept by the verifier, and the file for ``tpm2_activatecredential``.

    Raises:
        EvidenceRefused: ``attest.tpm_ak_form`` for another kind of endorsement key.
    """
    key = load_der_public_key(ek_public)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 2048 or len(ak_name) != 34:
        raise refusal(REASONS, "attest.tpm_ak_form")
    hidden = secrets.token_bytes(SECRET) if secret is None else secret
    seed = secrets.token_bytes(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    encrypted_seed = key.encrypt(seed, oaep)
    encryptor = Cipher(
        algorithms.AES(_kdf(seed, b"STORAGE", ak_name, 128)), CFB(bytes(16))
    ).encryptor()
    identity = encryptor.update(_sized(hidden)) + encryptor.finalize()
    tag = hmac.digest(_kdf(seed, b"INTEGRITY", b"", 256), identity + ak_name, "sha256")
    blob = _sized(_sized(tag) + identity)
    return hidden, FILE_HEAD + blob + _sized(encrypted_seed)


def _kdf(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """KDFa with SHA-256 (part 1, section 11.4.10.2), for at most 256 bits."""
    data = b"\0\0\0\1" + label + b"\0" + context + size.to_bytes(4, "big")
    return hmac.digest(key, data, hashlib.sha256)[: size // 8]


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
