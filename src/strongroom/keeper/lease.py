"""The lease of the data key: renewed on fresh evidence while the keeper serves, or the end of it.

1. A lease is a length, counted by a clock that nobody sets and that goes on while the machine
   sleeps, from before the keeper asked: a service that answers late lengthens nothing.
2. From ``renew_before`` on the keeper asks for a challenge, answers it with fresh evidence, and
   takes the lease that comes back (``release.renewal`` says which it believes).
3. A refusal that the service signed for this very try, and that is a judgement, ends the lease at
   once.
4. Anything else ends the try; the next begins after a thirty-second part of the grace.
5. On a stream answers come in turn. While one is owed nothing more is asked: a service that is
   silent is waited for, until the end.
6. A service that hangs up, breaks the framing or says more than it was asked is not heard again.
7. The lease ends when its time is over, whatever state this is in.

Like ``channel`` it makes, behind the walls, ``read`` and ``write`` on a descriptor that it has;
that loop waits for it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Final

from strongroom import framing
from strongroom.errors import KeyRefused, StrongroomError
from strongroom.release.messages import MAX_MESSAGE_BYTES, Lease
from strongroom.release.renewal import Renewer

TRIES: Final = 32
"""Into how many parts the grace is cut; fewer than the challenges that a session is given."""

SHORTEST_PAUSE: Final = 0.1
_READ_BYTES: Final = 64 * 1024
_MOST_OF_A_REASON: Final = 200


def since_boot() -> float:
    """Seconds by the clock that leases are counted by; the time of a suspended machine counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class HeldLease:
    """The lease of one released key.

    Args:
        terms: the lease as granted.
        asked: ``clock`` before it was asked for.
        renewer: what to say to key release, and what to believe of it.
        descriptor: the socket to it, which this owns; it becomes non-blocking.
        clock: seconds, as ``since_boot``.
    """

    def __init__(
        self,
        terms: Lease,
        asked: float,
        renewer: Renewer,
        descriptor: int,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._renewer, self._clock = renewer, clock
        self._incoming = framing.FrameBuffer(MAX_MESSAGE_BYTES)
        self._outgoing = bytearray()
        self._owed = False
        self._gone = ""
        self._trouble = "nothing was asked yet"
        self._asked = asked
        self._take(terms)

    @property
    def events(self) -> int:
        """What to wait for on ``descriptor``, as for ``poll``; 0 while nothing is under way."""
        if self._gone or not self._owed:
            return 0
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    @property
    def milliseconds(self) -> int:
        """Until ``look`` is due though nothing came."""
        waits = bool(self._gone) or self._owed
        until = self.end if waits else min(self._next, self.end)
        return max(0, int((until - self._clock()) * 1000) + 1)

    @property
    def over(self) -> bool:
        """Whether its time is over."""
        return self._clock() >= self.end

    def look(self) -> None:
        """Do what is due; never blocks.

        Raises:
            KeyRefused: ``keeper.lease_over`` or ``keeper.lease_refused``: wipe and end.
        """
        now = self._clock()
        if now >= self.end:  # (7)
            raise _over(self._gone or self._trouble)
        if self._gone:
            return
        if self._owed:
            self._exchange()
        elif now >= self._next:  # (2)
            self._asked, self._trouble = now, "key release has not answered"
            self._send(self._renewer.ask())
            self._exchange()

    def hang_up(self) -> None:
        """Close the socket: this lease will not be renewed."""
        if not self._gone:
            os.close(self.descriptor)
            self._gone = "it was not to be renewed"

    def _take(self, terms: Lease) -> None:
        """Rule 1."""
        self.end = self._asked + (terms.not_after - terms.issued_at)
        self._pause = max(SHORTEST_PAUSE, (terms.not_after - terms.renew_before) / TRIES)
        due = self._asked + (terms.renew_before - terms.issued_at)
        self._next = max(due, self._clock() + SHORTEST_PAUSE)

    def _send(self, message: bytes) -> None:
        self._outgoing += framing.encode(message, MAX_MESSAGE_BYTES)
        self._owed = True

    def _exchange(self) -> None:
        """Write what the socket takes, hear what there is."""
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self.descriptor, self._outgoing)]
            data = os.read(self.descriptor, _READ_BYTES)
            answers = self._incoming.feed(data)
        except BlockingIOError:
            return
        except (OSError, StrongroomError) as error:  # (6)
            return self._lose(type(error).__name__)
        if not data:
            return self._lose("it hung up")
        if len(answers) > 1 or (answers and (self._outgoing or self._incoming.pending)):
            return self._lose("it said more than it was asked")
        if answers:
            self._hear(answers[0])

    def _hear(self, answer: bytes) -> None:
        """Rules 2 to 4, for the answer that was owed."""
        self._owed = False
        try:
            taken = self._renewer.take(answer)
        except StrongroomError as error:  # (4)
            self._trouble = f"the last try ended with {error.code[:_MOST_OF_A_REASON]}"
            self._next = self._clock() + self._pause
            return
        if taken.refusal is not None:  # (3)
            raise _refused(taken.refusal)
        if taken.lease is not None:
            self._trouble = "nothing was asked since it was renewed"
            self._take(taken.lease)
        else:
            self._send(taken.send)
            self._exchange()

    def _lose(self, why: str) -> None:
        """Rule 6. The descriptor is closed: what comes there is nobody's."""
        self.hang_up()
        self._gone = f"key release is gone: {why}"


def _over(why: str) -> KeyRefused:
    return KeyRefused(
        "keeper.lease_over",
        f"The lease of the data key is over ({why}); the weights have been wiped.",
        action="Start the keeper again: it will ask key release for the key anew.",
    )


def _refused(by: KeyRefused) -> KeyRefused:
    return KeyRefused(
        "keeper.lease_refused",
        f"Key release refused to renew the lease of the data key: {by.code[:_MOST_OF_A_REASON]}. "
        "The weights have been wiped.",
        action=f"{by.action[:_MOST_OF_A_REASON]} The record of key release has the decision.",
    )
