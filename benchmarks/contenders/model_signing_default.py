"""model-signing at its defaults, with an elliptic-curve key: sign a folder, verify it."""

from __future__ import annotations

import sys
from pathlib import Path

from common import timed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing, verifying


def make_keys(work: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (work / "ec.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (work / "ec.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def sign(model: Path, work: Path) -> None:
    config = signing.Config().use_elliptic_key_signer(private_key=work / "ec.key")
    config.sign(model, work / "model.sig")


def verify(model: Path, work: Path) -> None:
    config = verifying.Config().use_elliptic_key_verifier(public_key=work / "ec.pub")
    config.verify(model, work / "model.sig")


def main() -> None:
    command, checkpoint = sys.argv[1:3]
    work, model = Path(sys.argv[3]), Path(checkpoint).parent
    if command == "prepare":
        make_keys(work)
        sign(model, work)
    elif command == "seal":
        timed(lambda: sign(model, work))
    else:
        timed(lambda: verify(model, work))


main()
