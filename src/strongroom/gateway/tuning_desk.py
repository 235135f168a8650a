"""What every request about tuning shares: who may ask, what is refused, what waits in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller
from strongroom.gateway.ids import new_id
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.pipeline.meter import Meter
from strongroom.gateway.refusals import Refusal
from strongroom.store.limits import NOTHING

Handler = Callable[[Request], Awaitable[None]]
_T = TypeVar("_T")


class Admitted:
    """Step 1 of every request about tuning.

    Holds a place among the caller's concurrent requests while it is open.
    """

    def __init__(self, desk: Desk, request: Request, require: Callable[[], object]) -> None:
        self._desk, self._request, self._require = desk, request, require
        self._name = new_id("req-")
        self._meter = Meter(desk.counters, desk.holder, self._name)

    async def __aenter__(self) -> Caller:
        desk, request = self._desk, self._request
        caller = await desk.identify(request)
        caller.require("tuning")
        self._require()
        desk.switching.require(caller.organisation)
        factor = desk.guard.require(caller) if desk.guard else 1
        try:
            await self._meter.enter(caller, request.told, factor)
        except BaseException:
            await self._meter.close(NOTHING)
            raise
        self._meter.tell(request.told)
        return caller

    async def __aexit__(self, *_how: object) -> None:
        await self._meter.close(NOTHING)


async def aside(call: Callable[..., _T], *arguments: Any) -> _T:
    """Run what waits for a disk or computes for long in a thread."""
    return await asyncio.to_thread(call, *arguments)


def by_method(method: str, **handlers: Handler) -> Handler:
    """The handler of this method; refuses others, 405."""
    found = handlers.get("GET" if method == "HEAD" else method)
    if found is None:
        allowed = " or ".join(handlers)
        raise Refusal(
            "gateway.wrong_method",
            "This path does not take this method.",
            action=f"Use {allowed}.",
            status=405,
            headers=((b"allow", ", ".join(handlers).encode()),),
        )
    return found


def there(found: _T | None, what: str, param: str | None = None) -> _T:
    """What was found; 404 ``gateway.tuning_not_found`` if nothing was."""
    if found is None:
        raise Refusal(
            "gateway.tuning_not_found",
            f"You have no {what} of this id.",
            action=f"List your {what}s for their ids.",
            status=404,
            param=param,
        )
    return found
