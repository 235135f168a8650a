"""Checks that every wrapper makes on a recipient stanza before it touches a key.

A stanza says in ``params`` which context it was made for (``context``: SHA-256, hex), only so
that a stanza of another model gets a refusal of its own; what binds it is the cryptography of
each wrapper, under which a falsified ``context`` is an altered stanza.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection

from strongroom.artifact.recipients import Recipient
from strongroom.errors import KeyRefused


def make(
    kind: str, key_id: str, wrapped: bytes, context: bytes, extra: dict[str, str] | None = None
) -> Recipient:
    """A stanza of ``kind`` for ``key_id``, with the digest of its context in ``params``."""
    params = {"context": digest(context), **(extra or {})}
    return Recipient(kind, key_id, base64.b64encode(wrapped).decode(), params)


def check(
    recipient: Recipient,
    kind: str,
    key_ids: Collection[str],
    context: bytes,
    extra: Collection[str] = (),
) -> bytes:
    """The wrapped bytes of a stanza that is of ``kind``, for one of ``key_ids``, and of
    ``context``, and has the parameters ``extra`` and no others besides ``context``.

    Raises:
        KeyRefused: ``keys.wrong_kind``, ``keys.wrong_key_id``, ``keys.malformed_stanza`` or
            ``keys.other_context``.
    """
    if recipient.kind != kind:
        raise KeyRefused(
            "keys.wrong_kind",
            f"The stanza is of kind {recipient.kind}, this key unwraps {kind}.",
            action="Give the key that the stanza names, or rewrap the model for this one.",
        )
    if recipient.key_id not in key_ids:
        raise KeyRefused(
            "keys.wrong_key_id",
            f"The stanza is for key {recipient.key_id[:80]}, which is not this one.",
            action="Give the key that the stanza names, or rewrap the model for this one.",
        )
    if set(recipient.params) != {"context", *extra}:
        raise malformed("its parameters are not those of its kind")
    if not hmac.compare_digest(recipient.params["context"].encode(), digest(context).encode()):
        raise KeyRefused(
            "keys.other_context",
            "The stanza was made for another sealed model.",
            action="Restore the recipients.json that belongs to this model.",
        )
    return decode(recipient.wrapped)


def decode(text: str) -> bytes:
    """Strict base64 (RFC 4648, padded, one spelling only); else ``keys.malformed_stanza``."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("it is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise malformed("its base64 has a second spelling")
    return raw


def digest(context: bytes) -> str:
    """SHA-256 of a context, hex."""
    return hashlib.sha256(context).hexdigest()


def altered() -> KeyRefused:
    """The stanza's cryptography did not verify."""
    return KeyRefused(
        "keys.altered",
        "The stanza does not verify: it was altered, or made with another key.",
        action="Restore recipients.json from a good copy, or rewrap the model.",
    )


def malformed(why: str) -> KeyRefused:
    """The stanza is not well formed; ``why`` completes the sentence."""
    return KeyRefused(
        "keys.malformed_stanza",
        f"The stanza cannot be read: {why}.",
        action="Restore recipients.json from a good copy, or rewrap the model.",
    )


def closed() -> KeyRefused:
    """The wrapper was closed and its key overwritten."""
    return KeyRefused(
        "keys.closed", "The wrapping key has been closed.", action="Open it again before use."
    )
