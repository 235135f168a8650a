"""The workload's end of the socket to its attester."""

from __future__ import annotations

import os
import select
import socket
import time

import msgspec

from strongroom import framing
from strongroom.attester.wire import (
    MAX_FRAME_BYTES,
    Devices,
    Guest,
    Lacking,
    ToAttester,
    ToWorkload,
)
from strongroom.errors import BoundaryRefused, EnvironmentLacks

TIMEOUT_SECONDS = 20.0
"""For a whole answer: a keeper that waits for it serves nobody, and its lease goes on."""

_CHUNK = 65_536


class ForwardedAttester:
    """Asks the attester process; a ``release.evidence.Attester``.

    Once made it needs ``poll``, ``read`` and ``write`` of the kernel and nothing else, so that a
    keeper can ask from behind its walls.

    Args:
        sock: a connected stream socket; it becomes non-blocking.
        kind: the kind of the guest's evidence that the attester was configured for.
        timeout: seconds from a question to the end of its answer.
    """

    def __init__(self, sock: socket.socket, kind: str, timeout: float = TIMEOUT_SECONDS) -> None:
        sock.setblocking(False)
        self._sock, self._kind, self._timeout = sock, kind, timeout
        self._lost = ""

    @property
    def kind(self) -> str:
        """The kind of the guest's evidence."""
        return self._kind

    def devices(self, nonce: bytes) -> bytes:
        """See ``Attester``; raises as ``attest``."""
        return self._ask(Devices(nonce))

    def attest(self, report_data: bytes) -> bytes:
        """See ``Attester``.

        Raises:
            EnvironmentLacks: ``attester.gone``, or why the machine gives no evidence.
            BoundaryRefused: ``attester.bad_answer``, or ``framing.*``.
        """
        return self._ask(Guest(report_data))

    def _ask(self, question: ToAttester) -> bytes:
        if self._lost:  # what comes now may answer an earlier question
            raise _gone(self._lost)
        until = time.monotonic() + self._timeout
        try:
            self._send(framing.encode(msgspec.json.encode(question), MAX_FRAME_BYTES), until)
            raw = self._receive(until)
        except OSError as error:
            self._lost = type(error).__name__
            raise _gone(self._lost) from None
        try:
            answer: ToWorkload = msgspec.json.decode(raw, type=ToWorkload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _bad() from None
        if isinstance(answer, Lacking):
            raise EnvironmentLacks(answer.code, answer.message, action=answer.action)
        return answer.bundle

    def _send(self, data: bytes, until: float) -> None:
        while data:
            self._wait(select.POLLOUT, until)
            data = data[os.write(self._sock.fileno(), data) :]

    def _receive(self, until: float) -> bytes:
        frames = framing.FrameBuffer(MAX_FRAME_BYTES)
        while True:
            self._wait(select.POLLIN, until)
            data = os.read(self._sock.fileno(), _CHUNK)
            if not data:
                raise _gone("it hung up")
            found = frames.feed(data)
            if found and (len(found) > 1 or frames.pending):
                raise _bad()
            if found:
                return found[0]

    def _wait(self, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(self._sock.fileno(), event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError


def _gone(why: str) -> EnvironmentLacks:
    return EnvironmentLacks(
        "attester.gone",
        f"The attester did not answer ({why}).",
        action="Its own error line tells why it stopped; see [evidence] in strongroom.toml.",
    )


def _bad() -> BoundaryRefused:
    return BoundaryRefused(
        "attester.bad_answer",
        "An answer of the attester cannot be used.",
        action="Run the same version on both sides.",
    )
