"""Detection's place in the way of a request: its signals are recorded, and do what the policy says.

A suspended organisation is refused as soon as it is known; a throttled one pays several requests
for each. Queries are observed once their intent is durable, and nobody waits for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

from strongroom.gateway.detection.detector import Detector, Query
from strongroom.gateway.detection.interface import Action, Signal
from strongroom.gateway.identity import Caller
from strongroom.gateway.refusals import Refusal
from strongroom.ledger import entries
from strongroom.telemetry.observer import Observer

_MOST_RECORDED: Final = 64
"""Organisations of one signal that get an entry each; their number is in all of them."""

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

    def require(self, caller: Caller) -> int:
        """How many requests one of this caller's counts for.

        Raises:
            Refusal: 403 ``gateway.suspended``.
        """
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
        now = time.monotonic()
        for signal in self._detector.observe(caller.organisation, caller.key_id, query, now):
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
