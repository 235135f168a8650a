"""One thread serves; a gateway that does not read, or breaks the protocol, cannot hurt it."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from strongroom.boundary import codec
from strongroom.boundary.frames import AskStatus, Cancel, Done, Refused, ToGateway, ToKeeper, Tokens
from strongroom.errors import ArtifactRefused, BoundaryRefused
from strongroom.keeper import channel
from strongroom.keeper.channel import Channel, serve
from strongroom.keeper.patrol import altered

STATUS = Refused(1, "keeper.test", "x" * 4000)


class Busy:
    """Answers every frame with a large one, and is busy as long as ``steps`` are left."""

    def __init__(self, steps: int = 0) -> None:
        self.left = steps
        self.received: list[ToKeeper] = []
        self.stepped = 0

    @property
    def busy(self) -> bool:
        return self.left > 0

    def receive(self, frame: ToKeeper) -> list[ToGateway]:
        self.received.append(frame)
        return [STATUS]

    def step(self) -> list[ToGateway]:
        self.left -= 1
        self.stepped += 1
        return [Tokens(1, tuple(range(1000)))]


class Unwatched:
    """A patrol that sees nothing."""

    def look(self) -> None:
        return


UNWATCHED = Unwatched()


class Held:
    """A lease that never ends."""

    descriptor, events, milliseconds = -1, 0, 10**6

    def look(self) -> None:
        return


HELD = Held()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def drain(sock: socket.socket) -> list[ToGateway]:
    buffer, frames = codec.gateway_buffer(), []
    while data := sock.recv(65_536):
        frames += [codec.decode_to_gateway(raw) for raw in buffer.feed(data)]
    assert not buffer.pending
    return frames


def in_thread(theirs: socket.socket, session: Busy) -> threading.Thread:
    def run() -> None:
        serve(Channel(theirs.fileno()), session, UNWATCHED, HELD, lambda: False)
        theirs.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_frames_are_answered_in_order_until_the_gateway_hangs_up(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    session = Busy(3)
    thread = in_thread(theirs, session)
    wire = codec.encode_to_keeper(AskStatus()) + codec.encode_to_keeper(Cancel(7))
    for at in range(0, len(wire), 3):  # however the bytes are cut
        ours.sendall(wire[at : at + 3])
    got: list[ToGateway] = []
    buffer = codec.gateway_buffer()
    while len(got) < 5:
        got += [codec.decode_to_gateway(raw) for raw in buffer.feed(ours.recv(65_536))]
    ours.close()
    thread.join(10)
    assert not thread.is_alive()
    assert session.received == [AskStatus(), Cancel(7)]
    assert sorted(type(frame).__name__ for frame in got) == ["Refused"] * 2 + ["Tokens"] * 3


def test_a_gateway_that_does_not_read_stops_the_stepping(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    _, theirs = pair
    session = Busy(10**9)
    turns = iter(range(40))
    line = Channel(theirs.fileno())
    original = channel.IDLE_MILLISECONDS
    channel.IDLE_MILLISECONDS = 1
    try:
        serve(
            line,
            session,
            UNWATCHED,
            HELD,
            lambda: session.stepped > 10_000 or congested_for(line, turns),
        )
    finally:
        channel.IDLE_MILLISECONDS = original
    assert line.congested
    assert session.stepped < 2000
    assert len(line._outgoing) < channel.HIGH_WATER + 10_000


def congested_for(line: Channel, turns: Iterator[int]) -> bool:
    """True after 40 turns of the loop in which the gateway read nothing."""
    return line.congested and next(turns, None) is None


def test_a_gateway_that_floods_and_does_not_read_cannot_grow_the_memory(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    session = Busy()
    line = Channel(theirs.fileno())
    ours.setblocking(False)
    ask = codec.encode_to_keeper(AskStatus()) * 1000
    turns = 0

    def stop() -> bool:
        nonlocal turns
        turns += 1
        try:
            ours.send(ask)
        except BlockingIOError:
            return line.congested or turns > 3000
        return False

    serve(line, session, UNWATCHED, HELD, stop)
    assert line.congested
    most_frames_of_a_read = channel.READ_BYTES // len(codec.encode_to_keeper(AskStatus())) + 1
    assert len(line._outgoing) < channel.HIGH_WATER + most_frames_of_a_read * 4200


def test_reading_resumes_the_stepping(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    session = Busy(1500)
    thread = in_thread(theirs, session)
    got = 0
    buffer = codec.gateway_buffer()
    while got < 1500:
        got += len(buffer.feed(ours.recv(65_536)))
    ours.close()
    thread.join(10)
    assert not thread.is_alive()
    assert session.stepped == 1500


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">I", 2**31),
        struct.pack(">I", 0),
        struct.pack(">I", 3) + b"\xc0\xc0\xc0",
        codec.encode_to_gateway(Done(1, "stop", 1, 1)),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["giant", "empty", "garbage", "wrong direction", "another protocol"],
)
def test_a_broken_protocol_ends_the_service(
    pair: tuple[socket.socket, socket.socket], wire: bytes
) -> None:
    ours, theirs = pair
    ours.sendall(wire)
    session = Busy()
    with pytest.raises(BoundaryRefused):
        serve(Channel(theirs.fileno()), session, UNWATCHED, HELD, lambda: False)
    assert not session.received


def test_a_stop_is_noticed_when_idle(pair: tuple[socket.socket, socket.socket]) -> None:
    _, theirs = pair
    asked = iter([False, False, True])
    serve(Channel(theirs.fileno()), Busy(), UNWATCHED, HELD, lambda: next(asked))


def test_hanging_up_while_congested_ends_the_service(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    session = Busy(10**9)
    line = Channel(theirs.fileno())

    def stop() -> bool:
        if line.congested:
            ours.close()
        return session.stepped > 10_000

    serve(line, session, UNWATCHED, HELD, stop)
    assert session.stepped < 10_000


def test_what_the_keeper_owes_arrives_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    os.set_blocking(theirs.fileno(), False)
    thread = in_thread(theirs, Busy(700))
    frames = 0
    buffer = codec.gateway_buffer()
    while frames < 700:
        frames += len(buffer.feed(ours.recv(1000)))
    ours.shutdown(socket.SHUT_WR)
    assert drain(ours) == []
    thread.join(10)


def test_a_weight_that_changed_ends_the_service_before_anything_more_is_written(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    class Watched:
        left = 3

        def look(self) -> None:
            self.left -= 1
            if not self.left:
                raise altered()

    ours, theirs = pair
    session = Busy(10)
    with pytest.raises(ArtifactRefused, match="weights_altered"):
        serve(Channel(theirs.fileno()), session, Watched(), HELD, lambda: False)
    theirs.close()
    assert session.stepped == 2
    assert len(drain(ours)) == 1  # of the step before the last
