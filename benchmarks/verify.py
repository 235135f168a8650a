"""Checking a model's signatures and every byte's hash, without any key."""

from __future__ import annotations

from interleave import Contender, run

run(
    [
        Contender("strongroom verify", "strongroom_sealed.py", "strongroom", "verify"),
        Contender("model-signing verify", "model_signing_default.py", "model-signing", "verify"),
    ],
    "verify",
    baseline="strongroom verify",
)
