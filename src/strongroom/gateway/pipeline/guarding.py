"""Detection's place in the way of a request: its signals are recorded, and do what the policy says.

A suspended organisation is refused as soon as it is known; a throttled one pays several requests
for each. Queries are noted once their intent is written, and looked at while their requests wait
for the model:

1. a few at a time, so that nobody waits long;
2. what is noted is bounded; beyond that, and at the end, all of it is looked at at once: none is
   passed over;
3. where a signal does something, all is looked at before the next request is let in.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from strongroom.gateway.detection.detector import Detector, Query
from strongroom.gateway.detection.interface import Action, Rows, Signal
from strongroom.gateway.identity import Caller
from strongroom.gateway.refusals import Refusal
from strongroom.ledger import entries
from strongroom.telemetry.observer import Observer

_MOST_RECORDED: Final = 64
"""Organisations of one signal that get an entry each; their number is in all of them."""

_SLICE: Final = 8
_MOST_NOTED: Final = 1 << 20
"""Tokens, or bytes of rows."""

_DONE: Final[dict[Action, Literal["none", "throttle", "suspend"]]] = {
    "record": "none",
    "throttle": "throttle",
    "suspend": "suspend",
}


class Guard:
    """Watches queries.

    Args:
        detector: what looks at them.
        write: appends an entry to the record without waiting.
        observer: is told of signals.
    """

    def __init__(
        self, detector: Detector, write: Callable[[entries.Signal], None], observer: Observer
    ) -> None:
        self._detector = detector
        self._write = write
        self._observer = observer
        self._acts = detector.policy.action != "record"
        self._noted: deque[tuple[str, Caller, Query, float]] = deque()
        self._size = 0

    def require(self, caller: Caller) -> int:
        """How many requests one of this caller's counts for.

        Raises:
            Refusal: 403 ``gateway.suspended``.
        """
        if self._acts:
            self.finish()
        standing = self._detector.standing(caller.organisation, time.monotonic())
        if standing.suspended:
            raise Refusal(
                "gateway.suspended",
                "Your organisation is suspended: its queries look like copying the model.",
                action="Speak with whoever runs this service.",
                status=403,
            )
        return standing.factor

    def observe(self, request_id: str, caller: Caller, query: Query) -> None:
        """Take note of a query: the prompt's token ids, or rows and their classes."""
        if not self._noted:
            asyncio.get_running_loop().call_soon(self._look)
        self._noted.append((request_id, caller, query, time.monotonic()))
        self._size += _size(query)
        if self._size > _MOST_NOTED:
            self.finish()

    def finish(self) -> None:
        """Look at all that was noted."""
        while self._noted:
            self._look_at_one()

    def _look(self) -> None:
        """Step 1."""
        try:
            for _ in range(min(_SLICE, len(self._noted))):
                self._look_at_one()
        finally:  # one that fails must not keep the others
            if self._noted:
                asyncio.get_running_loop().call_soon(self._look)

    def _look_at_one(self) -> None:
        request_id, caller, query, at = self._noted.popleft()
        self._size -= _size(query)
        for signal in self._detector.observe(caller.organisation, caller.key_id, query, at):
            self._observer.signal(signal.kind)
            for subject in signal.subjects[:_MOST_RECORDED]:
                self._write(self._entry(request_id, subject, signal))

    def _entry(self, request_id: str, subject: str, signal: Signal) -> entries.Signal:
        return entries.Signal(
            detector=signal.kind,
            organisation=subject,
            score=round(signal.score * 1000),
            threshold=round(signal.threshold * 1000),
            action=_DONE[self._detector.policy.action],
            counts={"subjects": len(signal.subjects), "seen": signal.seen},
            request=request_id,
        )


def _size(query: Query) -> int:
    return len(query.data) if isinstance(query, Rows) else len(query)
