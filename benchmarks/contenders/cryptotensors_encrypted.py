"""cryptotensors at its defaults: AES-256-GCM and an Ed25519 signature."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import cryptotensors
from common import KEY, timed, timed_load
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptotensors.torch import load_file, save_file
from safetensors.torch import load_file as load_plain


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SIGNER = Ed25519PrivateKey.from_private_bytes(KEY)
ENC = {"kty": "oct", "kid": "bench-enc", "alg": "aes256gcm", "k": b64(KEY)}
SIGN = {
    "kty": "okp",
    "kid": "bench-sign",
    "alg": "ed25519",
    "d": b64(SIGNER.private_bytes_raw()),
    "x": b64(SIGNER.public_key().public_bytes_raw()),
}


def save(checkpoint: str, target: Path) -> None:
    save_file(load_plain(checkpoint), str(target), config={"enc_key": ENC, "sign_key": SIGN})


def main() -> None:
    command, checkpoint, work = sys.argv[1:4]
    target = Path(work) / "model.cryptotensors"
    cryptotensors.register_direct_key_provider(keys=[ENC, SIGN])
    if command == "prepare":
        save(checkpoint, target)
    elif command == "seal":
        target.unlink(missing_ok=True)
        timed(lambda: save(checkpoint, target))
    else:
        timed_load(lambda: load_file(str(target)))


main()
