"""Frames to bytes and back: MessagePack behind the length prefix of ``strongroom.framing``.

Pure: bytes in, frames out. Each side reads its stream like this:

1. Received bytes go into a ``FrameBuffer`` with the limit of the direction; payloads come out.
2. A payload must be MessagePack of one frame of that direction: known tag, known fields, right
   types, values within the bounds of ``frames``, nothing behind it.
3. It must be the one canonical spelling: encoding the frame again gives the same bytes. So a
   second spelling of a number, a repeated key, a reordered or an omitted field is refused, and no
   two readers can take the same bytes for different things.

Whatever the bytes are, the only exception that leaves here is ``BoundaryRefused``; after it the
stream has no trustworthy position and the connection must be closed.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from strongroom import framing
from strongroom.boundary.frames import (
    MAX_FRAME_BYTES,
    MAX_TO_KEEPER_BYTES,
    ToGateway,
    ToKeeper,
)
from strongroom.errors import BoundaryRefused

_encoder = msgspec.msgpack.Encoder()
_to_keeper: msgspec.msgpack.Decoder[ToKeeper] = msgspec.msgpack.Decoder(ToKeeper)
_to_gateway: msgspec.msgpack.Decoder[ToGateway] = msgspec.msgpack.Decoder(ToGateway)

_F = TypeVar("_F")


def encode_to_keeper(frame: ToKeeper) -> bytes:
    """The wire bytes of one frame for the keeper, length prefix included.

    The fields are not checked again: the reader does that.

    Raises:
        BoundaryRefused: ``framing.oversized`` above ``MAX_TO_KEEPER_BYTES``.
    """
    return framing.encode(_encoder.encode(frame), MAX_TO_KEEPER_BYTES)


def encode_to_gateway(frame: ToGateway) -> bytes:
    """The wire bytes of one frame for the gateway, length prefix included.

    Raises:
        BoundaryRefused: ``framing.oversized`` above ``MAX_FRAME_BYTES``.
    """
    return framing.encode(_encoder.encode(frame), MAX_FRAME_BYTES)


def keeper_buffer() -> framing.FrameBuffer:
    """The buffer with which a keeper cuts its incoming stream."""
    return framing.FrameBuffer(MAX_TO_KEEPER_BYTES)


def gateway_buffer() -> framing.FrameBuffer:
    """The buffer with which a gateway cuts its incoming stream."""
    return framing.FrameBuffer(MAX_FRAME_BYTES)


def decode_to_keeper(payload: bytes) -> ToKeeper:
    """The frame in one payload that a gateway sent.

    Raises:
        BoundaryRefused: ``boundary.oversized``, ``boundary.malformed`` or
            ``boundary.not_canonical``.
    """
    return _decode(payload, _to_keeper, MAX_TO_KEEPER_BYTES)


def decode_to_gateway(payload: bytes) -> ToGateway:
    """The frame in one payload that a keeper sent; refusals as in ``decode_to_keeper``."""
    return _decode(payload, _to_gateway, MAX_FRAME_BYTES)


def _decode(payload: bytes, decoder: msgspec.msgpack.Decoder[_F], limit: int) -> _F:
    if len(payload) > limit:
        raise BoundaryRefused(
            "boundary.oversized",
            f"A frame of {len(payload)} bytes, the limit is {limit}.",
            action="Close the connection; send less at a time.",
        )
    try:
        frame = decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, MemoryError):
        # ValueError covers UnicodeDecodeError, which msgspec lets through. The reason is not
        # passed on: it could quote the payload, and errors are logged.
        raise BoundaryRefused(
            "boundary.malformed",
            "The bytes are not a frame of this direction of the boundary.",
            action="Close the connection; run the same version on both sides.",
        ) from None
    if _encoder.encode(frame) != payload:
        raise BoundaryRefused(
            "boundary.not_canonical",
            "A frame is spelt in another way than the canonical one.",
            action="Close the connection; encode frames with strongroom.boundary.codec.",
        )
    return frame
