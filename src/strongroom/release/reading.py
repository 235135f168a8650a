"""From bytes to the messages of a workload, or a refusal."""

from __future__ import annotations

import msgspec

from strongroom.errors import KeyRefused
from strongroom.release import messages
from strongroom.release.messages import Ask, Release, Renew, Runtime


def message(payload: bytes) -> Ask | Release | Renew:
    """One message; ``release.oversized`` or ``release.malformed``."""
    if len(payload) > messages.MAX_MESSAGE_BYTES:
        raise KeyRefused(
            "release.oversized",
            "The message is too large.",
            action="Send less evidence or fewer recipients.",
        )
    try:
        decoded: Ask | Release | Renew = msgspec.json.decode(payload, type=messages.ToService)
        if not isinstance(decoded, Ask):
            decoded.additional.decode("utf-8")  # what it commits to is text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("message") from None
    return decoded


def runtime(encoded: bytes) -> Runtime:
    """The runtime data of a request; ``release.malformed``."""
    try:
        return msgspec.json.decode(encoded, type=Runtime)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("runtime data") from None


def _malformed(what: str) -> KeyRefused:
    return KeyRefused(
        "release.malformed",
        f"The {what} cannot be read.",
        action="Use a client of this protocol version.",
    )
