"""What a workload and its attester say to one another: JSON in frames of ``strongroom.framing``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.attest.bundle import MAX_BYTES

MAX_FRAME_BYTES: Final = 2 * MAX_BYTES
"""A bundle of the greatest size, in base64, and what stands around it."""


class Guest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="guest"):
    """Asks for evidence of the guest that commits to ``report_data``, 64 bytes."""

    report_data: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Devices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="devices"):
    """Asks for evidence of the devices that answers ``nonce``, 32 bytes."""

    nonce: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="evidence"):
    """An encoded bundle; empty where there are no devices."""

    bundle: Annotated[bytes, Meta(max_length=MAX_BYTES)]


class Lacking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lacking"):
    """Why there is none, as an error says it."""

    code: Annotated[str, Meta(max_length=128)]
    message: Annotated[str, Meta(max_length=4096)]
    action: Annotated[str, Meta(max_length=4096)]


ToAttester = Guest | Devices
ToWorkload = Evidence | Lacking
