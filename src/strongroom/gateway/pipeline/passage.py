"""One request that asks the model for work, on its way through the door.

It is *arrived*, *admitted* (its caller is known), *reserved* (its intent is written), *shown* (its
intent is durable), *ended* (its final record is durable), in this order. It is ended whatever
happens, and once. Between *reserved* and *shown* the disk works while the model does: a power cut
may lose an intent, but then nothing of its answer has left.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from strongroom.errors import StrongroomError
from strongroom.gateway.exchange import Exchange
from strongroom.gateway.http import Request
from strongroom.gateway.ids import new_id
from strongroom.gateway.line import ClientGone, Held
from strongroom.gateway.pipeline.meter import Meter
from strongroom.gateway.pipeline.spending import Spending
from strongroom.gateway.refusals import Refusal
from strongroom.ledger.entries import Refused, RequestFinal, RequestIntent
from strongroom.store.limits import NOTHING, RESOURCES, Cost

if TYPE_CHECKING:
    from strongroom.gateway.detection.detector import Query
    from strongroom.gateway.identity import Caller
    from strongroom.gateway.pipeline.desk import Desk

SETTLE_SECONDS: Final = 1.0
"""How often a stream is settled while it goes on."""

Asks = Literal["chat", "completions", "embeddings", "infer"]
Outcome = Literal["answered", "stopped", "abandoned", "failed"]


class Passage:
    """See the module. An async context manager.

    Call ``admit``, ``reserve``, ``hold``, for a stream ``shown``, ``answered``, in this order.
    ``exchange`` is to be set as soon as the request was forwarded.
    """

    __slots__ = (
        "_desk", "_ended", "_held", "_intent", "_meter", "_request", "_route", "_settled_at",
        "_spending", "_watched", "caller", "exchange", "id",
    )  # fmt: skip

    def __init__(self, desk: Desk, request: Request, route: Asks) -> None:
        self.id = new_id("req-")
        self.caller: Caller | None = None
        self.exchange: Exchange | None = None
        self._desk = desk
        self._meter = Meter(desk.counters, desk.holder, self.id)
        self._request = request
        self._route = route
        self._watched = desk.observer.request(route)
        self._spending: Spending | None = None
        self._held: Held | None = None
        self._settled_at: float | None = None
        self._ended = False
        self._intent = -1
        request.accounted = True
        request.told.append((b"x-request-id", self.id.encode()))

    async def admit(self) -> tuple[Caller, bytes]:
        """Steps 2 to 5: the caller and the body.

        Raises:
            Refusal: 401, 403, 408, 413, 415 or 429.
            ClientGone: the caller hung up.
        """
        body = await self._desk.read(self._request)
        caller = self.caller = await self._desk.identify(self._request)
        caller.require(self._route)
        self._desk.switching.require(caller.organisation)
        factor = self._desk.guard.require(caller) if self._desk.guard else 1
        await self._meter.enter(caller, self._request.told, factor)
        return caller, body

    async def reserve(self, spending: Spending, what: bytes, adapter: str = "") -> None:
        """Steps 9 and 10: reserve, then write the intent.

        Args:
            spending: what may be spent.
            what: the input, of which a keyed digest is recorded.
            adapter: the caller's, through which it goes.

        Raises:
            Refusal: 429 what is exhausted, or 503.
        """
        desk, caller = self._desk, self._known()
        worst = spending.worst()
        await self._meter.reserve(worst, self._request.told)
        self._meter.tell(self._request.told)
        self._spending = spending
        entry = RequestIntent(
            request=self.id,
            organisation=caller.organisation,
            key_id=caller.key_id,
            route=self._route,
            model=desk.model_name,
            reserved=counts(worst),
            model_digest=desk.model_digest,
            policy_digest=desk.policy_digest,
            input_digest=desk.digest("input", what),
            adapter=adapter,
        )
        try:
            self._intent = await desk.record.begin(entry)
        except StrongroomError as error:
            raise desk.record_failed(error) from None
        self._watched.admitted(worst.input_tokens, worst.output_tokens)

    async def shown(self) -> None:
        """Before the first byte of a stream leaves: its intent is durable.

        Raises:
            Refusal: 503: the record cannot be written.
        """
        try:
            await self._desk.record.durable(self._intent)
        except StrongroomError as error:
            raise self._desk.record_failed(error) from None

    def observe(self, query: Query) -> None:
        """Let detection look at what was asked."""
        if self._desk.guard is not None:
            self._desk.guard.observe(self.id, self._known(), query)

    def hold(self) -> Held:
        """Context of everything between the intent and the end: what may be ended from outside."""
        self._held = Held(self._request.line)
        self._desk.switching.begin(self)
        return self._held

    def stop(self, reason: Exception) -> None:
        """End it from outside, with this reason."""
        if self._held is not None:
            self._held.end(reason)

    async def progress(self) -> None:
        """Some output has come from the keeper: settle now and then what it did cost so far."""
        now = asyncio.get_running_loop().time()
        if self._settled_at is None:
            self._settled_at = now
            self._watched.first_output()
        elif self._spending is not None and now - self._settled_at >= SETTLE_SECONDS:
            self._settled_at = now
            await self._meter.settle(self._spending.so_far(self.exchange))

    async def answered(self, reason: str, output: bytes) -> None:
        """Steps 12 and 13: the answer is whole, and all but its last byte may be sent.

        Args:
            reason: ``stop``, ``length``, ``egress``, ``label`` or ``embedding``.
            output: the answer, of which a keyed digest is recorded.

        Raises:
            Refusal: 503: the record cannot be written, so the last byte must not leave.
        """
        cost = await self._end("answered", "", self._desk.digest("output", output))
        self._watched.finished(reason, cost.output_tokens, cost.egress_millibits)

    async def __aenter__(self) -> Passage:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._desk.switching.end(self)
        outcome, code, status = _became(error)
        if self._spending is None:
            self._meter.tell(self._request.told)
            await self._meter.close(NOTHING)
            self._turned_away(code, status)
            cost = NOTHING
        elif self._ended:
            return
        else:
            cost = await self._end(outcome, code, "")
        if outcome == "abandoned":
            self._watched.abandoned(cost.output_tokens, cost.egress_millibits)
        else:
            self._watched.refused(code, status, cost.output_tokens, cost.egress_millibits)

    async def _end(self, outcome: Outcome, code: str, output_digest: str) -> Cost:
        """Settle, then record the end."""
        if self._spending is None:
            raise RuntimeError("nothing was reserved")
        self._ended = True
        cost = self._spending.so_far(self.exchange)
        await self._meter.close(cost)
        entry = RequestFinal(
            request=self.id,
            outcome=outcome,
            settled=counts(cost),
            code=code,
            output_digest=output_digest,
        )
        try:
            await self._desk.record.append(entry)
        except StrongroomError as error:
            raise self._desk.record_failed(error) from None
        return cost

    def _turned_away(self, code: str, status: int) -> None:
        caller = self.caller
        self._desk.book.note(
            Refused(
                request=self.id,
                code=code,
                status=status,
                organisation=caller.organisation if caller else "",
                key_id=caller.key_id if caller else "",
                route=self._route,
                model=self._desk.model_name,
                policy_digest=self._desk.policy_digest,
            )
        )

    def _known(self) -> Caller:
        if self.caller is None:
            raise RuntimeError("nobody was admitted")
        return self.caller


def counts(cost: Cost) -> dict[str, int]:
    """A cost as the record has it: what is zero is left out."""
    return {name: amount for name, amount in zip(RESOURCES, cost, strict=True) if amount}


def _became(error: BaseException | None) -> tuple[Outcome, str, int]:
    """Outcome, code and HTTP status of what was raised."""
    if isinstance(error, ClientGone):
        return "abandoned", "gateway.client_gone", 499
    if isinstance(error, Refusal):
        stopped = error.code == "gateway.switched_off"
        return ("stopped" if stopped else "failed"), error.code, error.status
    return "failed", "gateway.internal", 500
