"""What every wrapper is held to, whatever it wraps with."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pytest

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.errors import KeyRefused
from strongroom.keys.interface import KeyWrapper

CONTEXT = b"one sealed model"


def code_of(action: Callable[[], object]) -> str:
    """The code with which ``action`` is refused; a test fails if it is not."""
    with pytest.raises(KeyRefused) as refusal:
        action()
    return refusal.value.code


def flipped(text: str, position: int) -> str:
    """Base64 ``text`` with one bit of its bytes flipped."""
    raw = bytearray(base64.b64decode(text))
    raw[position] ^= 1
    return base64.b64encode(raw).decode()


def check_contract(wrapper: KeyWrapper, stranger: KeyWrapper) -> Recipient:
    """The security contract of ``KeyWrapper``; returns a stanza that ``wrapper`` opens."""
    key = DataKey.generate()
    secret = bytes(key.reveal(TOKEN))
    stanza = wrapper.wrap(key, CONTEXT)
    assert wrapper.holds(stanza)
    assert not stranger.holds(stanza)
    assert bytes(wrapper.unwrap(stanza, CONTEXT).reveal(TOKEN)) == secret
    assert secret not in base64.b64decode(stanza.wrapped)
    assert wrapper.wrap(key, CONTEXT).wrapped != stanza.wrapped

    def refused(context: bytes = CONTEXT, **changes: object) -> str:
        altered = msgspec.structs.replace(stanza, **changes)
        return code_of(lambda: wrapper.unwrap(altered, context))

    assert refused(kind="other") == "keys.wrong_kind"
    assert refused(key_id="other") == "keys.wrong_key_id"
    assert code_of(lambda: stranger.unwrap(stanza, CONTEXT)) == "keys.wrong_key_id"
    assert refused(context=b"another model") == "keys.other_context"
    moved = {**stanza.params, "context": stranger.wrap(key, b"another model").params["context"]}
    assert refused(context=b"another model", params=moved) == "keys.altered"
    assert refused(params={}) == "keys.malformed_stanza"
    assert refused(params={**stanza.params, "more": "x"}) == "keys.malformed_stanza"
    assert refused(wrapped="%%%") == "keys.malformed_stanza"
    assert refused(wrapped=stanza.wrapped + "\n") == "keys.malformed_stanza"
    assert refused(wrapped="") == "keys.altered"
    size = len(base64.b64decode(stanza.wrapped))
    for position in (0, size // 2, size - 33, size - 1):
        assert refused(wrapped=flipped(stanza.wrapped, position)) == "keys.altered"
    cut = base64.b64encode(base64.b64decode(stanza.wrapped)[:-1]).decode()
    assert refused(wrapped=cut) == "keys.altered"
    return stanza
