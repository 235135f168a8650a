"""Opening an encrypted checkpoint into memory, warm page cache, every peer at its defaults."""

from __future__ import annotations

from interleave import Contender, run

run(
    [
        Contender("strongroom strict", "strongroom_sealed.py", "strongroom", "load-strict"),
        Contender("strongroom without hashes", "strongroom_sealed.py", "strongroom", "load-fast"),
        Contender("tensorizer encrypted", "tensorizer_encrypted.py", "tensorizer", "load"),
        Contender("cryptotensors encrypted", "cryptotensors_encrypted.py", "cryptotensors", "load"),
        Contender("safetensors mmap + clone (plain)", "plain_safetensors.py", "plain", "load"),
    ],
    "load",
    baseline="strongroom strict",
)
