"""What all requests share: who knows callers, counters, switches, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from strongroom.errors import StrongroomError
from strongroom.gateway.content.interface import ContentPolicy
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller
from strongroom.gateway.ids import new_id
from strongroom.gateway.pipeline.guarding import Guard
from strongroom.gateway.pipeline.passage import Asks, Passage
from strongroom.gateway.pipeline.refusal_book import RefusalBook
from strongroom.gateway.pipeline.spending import ComputeRates
from strongroom.gateway.pipeline.switching import Switching
from strongroom.gateway.refusals import Refusal
from strongroom.ledger.entries import Refused
from strongroom.ledger.interface import Record
from strongroom.store.counters.interface import Counters
from strongroom.telemetry.observer import Observer

_END_SECONDS, _END_STEPS = 1.0, 50

Digest = Callable[[Literal["input", "output", "dataset"], bytes], str]
"""A keyed digest: 64 hex digits, of what is not recorded itself."""


class Identifies(Protocol):
    """Who knows callers."""

    async def identify(self, request: Request) -> Caller:
        """The caller; 401 without one."""
        ...


class Bounds(Protocol):
    """What a body may be."""

    @property
    def max_body_bytes(self) -> int:
        """Largest body."""
        ...

    @property
    def body_seconds(self) -> float:
        """Longest time for a body to arrive."""
        ...


class Desk:
    """Everything that a ``Passage`` leans on, made once.

    Args:
        bounds: of bodies.
        callers: who knows callers.
        counters: what may be spent.
        holder: in whose name this gateway reserves; no other that shares the counters has it.
        switching: the kill switch.
        record: the log.
        digest: keyed digests of inputs and answers.
        observer: who is told what happens.
        model: name of the model, digest of its manifest, digest of its sealed policy.
        rates: how compute is reckoned.
        content: what may be said, to the model and by it.
    """

    def __init__(
        self,
        *,
        bounds: Bounds,
        callers: Identifies,
        counters: Counters,
        holder: str,
        switching: Switching,
        record: Record,
        digest: Digest,
        observer: Observer,
        model: tuple[str, str, str],
        rates: ComputeRates,
        content: ContentPolicy | None = None,
    ) -> None:
        self.counters = counters
        self.holder = holder
        self.switching = switching
        self.record = record
        self.digest = digest
        self.observer = observer
        self.model_name, self.model_digest, self.policy_digest = model
        self.rates = rates
        self.content = content
        self.guard: Guard | None = None
        self.failure: StrongroomError | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self.book = RefusalBook(record, self._note_failure)
        self._bounds = bounds
        self._callers = callers

    def passage(self, request: Request, route: Asks) -> Passage:
        """The way of one request that asks the model for work."""
        return Passage(self, request, route)

    async def read(self, request: Request) -> bytes:
        """Step 2."""
        return await request.body(self._bounds.max_body_bytes, self._bounds.body_seconds)

    async def identify(self, request: Request) -> Caller:
        """Step 3, which the routes that tell of the model take alone."""
        return await self._callers.identify(request)

    def turned_away(self, request: Request, refusal: Refusal) -> None:
        """Count the refusal of a request that had no passage: no route, or no key."""
        name = new_id("req-")
        request.told.append((b"x-request-id", name.encode()))
        self.book.note(Refused(request=name, code=refusal.code, status=refusal.status))
        self.observer.request("other").refused(refusal.code, refusal.status)

    def record_failed(self, error: StrongroomError) -> Refusal:
        """The log cannot be written: nothing more is served. What the caller is told."""
        self._note_failure(error)
        return Refusal(
            "gateway.record_unavailable",
            "The request cannot be recorded, so it is not served.",
            action="Try again later.",
            status=503,
        )

    async def close(self) -> None:
        """End what is still under way, and write what was only counted so far."""
        self.switching.end_all(_stopping())
        for _ in range(_END_STEPS):
            if not self.switching.busy:
                break
            await asyncio.sleep(_END_SECONDS / _END_STEPS)
        if self.guard is not None:
            self.guard.finish()
        await self.book.close()

    def _note_failure(self, error: StrongroomError) -> None:
        if self.failure is None:
            self.failure = error
            self.on_failure()


def _stopping() -> Refusal:
    return Refusal(
        "gateway.stopping",
        "The service is being stopped.",
        action="Try again later.",
        status=503,
    )
