from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_desk import code_of

from strongroom.framing import FrameBuffer, encode

LIMIT = 64


@given(st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=8), st.integers(1, 100))
def test_any_cutting_gives_the_payloads_back(payloads: list[bytes], step: int) -> None:
    stream = b"".join(encode(payload, LIMIT) for payload in payloads)
    buffer = FrameBuffer(LIMIT)
    received = []
    for start in range(0, len(stream), step):
        received += buffer.feed(stream[start : start + step])
    assert received == payloads
    assert buffer.pending == 0


@pytest.mark.parametrize(("size", "code"), [(0, "framing.empty"), (LIMIT + 1, "framing.oversized")])
def test_bad_lengths_both_ways(size: int, code: str) -> None:
    encode(bytes(LIMIT), LIMIT)
    assert code_of(lambda: encode(bytes(size), LIMIT)) == code
    buffer = FrameBuffer(LIMIT)
    assert code_of(lambda: buffer.feed(struct.pack(">I", size))) == code
    assert buffer.pending == 0
    assert code_of(lambda: buffer.feed(encode(b"x", LIMIT))) == "framing.broken"


def test_a_length_is_judged_before_its_payload_arrives() -> None:
    assert code_of(lambda: FrameBuffer(LIMIT).feed(b"\xff\xff\xff\xff")) == "framing.oversized"


def test_wiping_forgets_what_is_pending() -> None:
    buffer = FrameBuffer(LIMIT)
    assert buffer.feed(encode(b"secret", LIMIT)[:-1]) == []
    assert buffer.pending == 9
    buffer.wipe()
    assert buffer.feed(encode(b"next", LIMIT)) == [b"next"]
