"""What the tests of Nitro share."""

from __future__ import annotations

import hashlib
from typing import Any

from strongroom.attest.interface import Facts
from strongroom.attest.nitro.expectations import Expectations
from strongroom.attest.nitro.verify import verify
from tests.attest.dcap.support import blob
from tests.attest.simulated import nitro

ROOT = hashlib.sha256(nitro.root_der()).hexdigest()
#: When the real documents were made.
REAL_NOW, DEBUG_NOW = 1_766_668_537, 1_766_650_846


def wanted(**changes: Any) -> Expectations:
    return Expectations(**({"nonce": nitro.NONCE.hex()} | changes))


def check(document: bytes, expectations: Expectations | None = None, now: int = nitro.NOW) -> Facts:
    """Verify under the simulated root."""
    return verify(document, now=now, expectations=expectations or wanted(), root=ROOT)


def captured(name: str) -> bytes:
    """The document inside a capture: byte 0, byte 2, its length in SCALE's two-byte form."""
    capture = blob(f"nitro/{name}")
    size = int.from_bytes(capture[2:4], "little") >> 2
    return capture[4 : 4 + size]
