"""The loop of an attester: one question at a time over one socket, until the workload hangs up."""

from __future__ import annotations

import socket

import msgspec

from strongroom import framing
from strongroom.attester.wire import (
    MAX_FRAME_BYTES,
    Evidence,
    Guest,
    Lacking,
    ToAttester,
    ToWorkload,
)
from strongroom.errors import BoundaryRefused, StrongroomError
from strongroom.release.evidence import Attester

_CHUNK = 65_536
_LONGEST_QUESTION = 4096


def serve(sock: socket.socket, attester: Attester) -> None:
    """Answer until the end of the stream. What cannot be had is an answer, too.

    Raises:
        BoundaryRefused: what came is no question.
    """
    frames = framing.FrameBuffer(_LONGEST_QUESTION)
    while True:
        try:
            data = sock.recv(_CHUNK)
        except ConnectionError:
            return
        if not data:
            return
        for payload in frames.feed(data):
            answer = msgspec.json.encode(_answer(payload, attester))
            sock.sendall(framing.encode(answer, MAX_FRAME_BYTES))


def _answer(payload: bytes, attester: Attester) -> ToWorkload:
    try:
        asked: ToAttester = msgspec.json.decode(payload, type=ToAttester)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BoundaryRefused(
            "attester.bad_question",
            "A question to the attester cannot be read.",
            action="Run the same version on both sides.",
        ) from None
    try:
        if isinstance(asked, Guest):
            return Evidence(attester.attest(asked.report_data))
        return Evidence(attester.devices(asked.nonce))
    except StrongroomError as error:
        return Lacking(error.code, error.message, error.action)
