"""The boundary socket of a keeper, and the loop that serves it: one thread, nothing blocks.

1. Wait until the gateway sends, or can be sent to, or key release answers, or the lease of the key
   wants something; do not wait while there is work.
2. Read at most ``READ_BYTES`` and answer every whole frame in them.
3. Step the engine once if anything runs.
4. Look after the lease (``lease``) and at the weights that are due.
5. Write what the socket takes.

Steps 2 and 3 are left out while more than ``HIGH_WATER`` bytes wait to be written: a gateway that
does not read stops its own answers, and cannot make the keeper's memory grow. After lock-down this
file makes three system calls: ``poll``, ``read`` and ``write``.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from typing import Protocol

from strongroom.boundary import codec
from strongroom.boundary.frames import ToGateway, ToKeeper

READ_BYTES = 64 * 1024
HIGH_WATER = 1024 * 1024
IDLE_MILLISECONDS = 500
"""How long an idle keeper may take to notice that it should stop."""


class Answering(Protocol):
    """What the loop needs of a ``Session``."""

    @property
    def busy(self) -> bool:
        """Whether ``step`` has something to do."""

    def receive(self, frame: ToKeeper) -> Sequence[ToGateway]:
        """Answer one frame."""

    def step(self) -> Sequence[ToGateway]:
        """Advance what runs."""


class Watching(Protocol):
    """What the loop needs of a ``Patrol``."""

    def look(self) -> None:
        """Raise if a weight has changed."""


class Leasing(Protocol):
    """What the loop needs of a ``HeldLease``."""

    descriptor: int

    @property
    def events(self) -> int:
        """What to wait for on ``descriptor``; 0 for nothing."""

    @property
    def milliseconds(self) -> int:
        """The longest that ``look`` may wait."""

    def look(self) -> None:
        """Renew the lease when it is time; raise if it has ended."""


class Channel:
    """Frames over one non-blocking descriptor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._incoming = codec.keeper_buffer()
        self._outgoing = bytearray()

    @property
    def congested(self) -> bool:
        """Whether the gateway leaves so much unread that nothing more should be produced."""
        return len(self._outgoing) > HIGH_WATER

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._outgoing)

    def receive(self) -> list[ToKeeper] | None:
        """The frames completed by what can be read now; None at the end of the stream.

        Raises:
            BoundaryRefused: the gateway broke the protocol.
        """
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        if not data:
            return None
        return [codec.decode_to_keeper(payload) for payload in self._incoming.feed(data)]

    def send(self, frame: ToGateway) -> None:
        """Put a frame behind those that wait."""
        self._outgoing += codec.encode_to_gateway(frame)

    def flush(self) -> bool:
        """Write what the socket takes now; False if nobody reads it any more."""
        while self._outgoing:
            try:
                written = os.write(self.descriptor, self._outgoing)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            del self._outgoing[:written]
        return True


def serve(
    channel: Channel,
    session: Answering,
    patrol: Watching,
    lease: Leasing,
    stop: Callable[[], bool],
) -> None:
    """Serve until the gateway closes its end, or ``stop`` says so.

    Raises:
        BoundaryRefused: the gateway broke the protocol; nothing was answered to that read.
        ArtifactRefused: ``keeper.weights_altered``.
        KeyRefused: ``keeper.lease_over`` or ``keeper.lease_refused``.
    """
    while not stop():
        lease.look()  # (4)
        patrol.look()
        if not channel.flush():  # (5)
            return
        ready = _wait(channel, lease, session.busy)  # (1)
        if channel.congested:
            continue
        if ready & (select.POLLIN | select.POLLHUP | select.POLLERR):
            frames = channel.receive()  # (2)
            if frames is None:
                return
            for frame in frames:
                for answer in session.receive(frame):
                    channel.send(answer)
        if session.busy:
            for answer in session.step():  # (3)
                channel.send(answer)


def _wait(channel: Channel, lease: Leasing, busy: bool) -> int:
    """Step 1; what is ready on the channel."""
    poll = select.poll()
    events = 0 if channel.congested else select.POLLIN
    if channel.waiting:
        events |= select.POLLOUT
    poll.register(channel.descriptor, events)
    if lease.events:
        poll.register(lease.descriptor, lease.events)
    idle = min(IDLE_MILLISECONDS, lease.milliseconds)
    ready = dict(poll.poll(0 if busy and not channel.congested else idle))
    return ready.get(channel.descriptor, 0)
