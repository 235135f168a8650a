"""Parse an SPDM 1.1 GET_MEASUREMENTS request and its response (DSP0274 1.1, section 10.11).

Layout: request of 37 bytes (version, code E0, attributes, operation, nonce, slot); response
header of 8 bytes, measurement blocks, device nonce of 32, opaque length and fields, signature of
96 bytes (r ‖ s). Nothing may follow. Multi-byte numbers are little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.attest.interface import Checks

REQUEST = 37
NONCE = 32
DIGEST = 48
SIGNATURE = 96
BLOCK = 7 + DIGEST
HEADER = 8
# Version 1.1, GET_MEASUREMENTS, signature wanted, all measurements.
REQUEST_HEAD = bytes.fromhex("11e001ff")
RESPONSE_HEAD = bytes.fromhex("11600000")
# Specification 1 (DMTF), size 51, value type 1 (mutable firmware, as a digest), value size 48.
BLOCK_HEAD = bytes.fromhex("013300013000")


@dataclass(frozen=True, slots=True)
class Report:
    """A report's parts, all taken from the bytes that the device signed.

    ``measurements[i]`` is SPDM block i + 1, 48 bytes, which is index i of a RIM. ``opaque`` maps
    NVIDIA's field numbers to values. ``signed`` is request ‖ response without the signature.
    """

    nonce: bytes
    measurements: tuple[bytes, ...]
    opaque: Mapping[int, bytes]
    signed: bytes
    signature: bytes


def parse(data: bytes, checks: Checks) -> Report:
    """Split ``data`` (at most 64 KiB are ever looked at).

    Raises:
        AttestationRefused: checks 1.1 to 1.5 of :mod:`.device`.
    """
    request, response = data[:REQUEST], data[REQUEST:]
    checks.require(
        "1.1",
        "attest.nvidia_request",
        len(request) == REQUEST and request[:4] == REQUEST_HEAD and request[36] == 0,
    )
    checks.require(
        "1.2",
        "attest.nvidia_response",
        len(response) >= HEADER and response[:4] == RESPONSE_HEAD,
    )
    count, record = response[4], int.from_bytes(response[5:8], "little")
    blocks = [response[at : at + BLOCK] for at in range(HEADER, HEADER + count * BLOCK, BLOCK)]
    checks.require(
        "1.3",
        "attest.nvidia_blocks",
        count > 0
        and record == count * BLOCK
        and all(_is_block(block, index) for index, block in enumerate(blocks, 1)),
        f"{count} blocks",
    )
    opaque_at = HEADER + record + NONCE + 2
    length = int.from_bytes(response[opaque_at - 2 : opaque_at], "little")
    end = opaque_at + length
    opaque = _fields(response[opaque_at:end])
    checks.require("1.4", "attest.nvidia_opaque", opaque is not None and len(response) >= end)
    checks.require("1.5", "attest.nvidia_trailing", len(response) == end + SIGNATURE)
    return Report(
        nonce=request[4:36],
        measurements=tuple(block[7:] for block in blocks),
        opaque=opaque or {},
        signed=data[: REQUEST + end],
        signature=response[end:],
    )


def _is_block(block: bytes, index: int) -> bool:
    return len(block) == BLOCK and block[0] == index and block[1:7] == BLOCK_HEAD


def _fields(data: bytes) -> dict[int, bytes] | None:
    """Type-length-value fields (u16, u16, value), each type once; ``None`` if misframed."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + 2 : at + 4], "little")
        at += 4 + size
        if at > len(data) or kind in fields:
            return None
        fields[kind] = data[at - size : at]
    return fields
