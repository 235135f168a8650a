"""Encrypting and signing a checkpoint into a file on disk."""

from __future__ import annotations

from interleave import Contender, run

run(
    [
        Contender("strongroom seal", "strongroom_sealed.py", "strongroom", "seal"),
        Contender("tensorizer encrypt", "tensorizer_encrypted.py", "tensorizer", "seal"),
        Contender("cryptotensors encrypt", "cryptotensors_encrypted.py", "cryptotensors", "seal"),
        Contender(
            "model-signing sign (no encryption)",
            "model_signing_default.py",
            "model-signing",
            "seal",
        ),
    ],
    "seal",
    baseline="strongroom seal",
)
