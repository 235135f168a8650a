"""The kill switch: what is switched off is refused, and what is under way for it is ended.

A look at the store every ``LOOK_SECONDS``: if anything changed there, the switches are read anew,
and every request under way whose organisation or model is off now is ended. Nothing of the request
path waits for the store. If the store cannot be read, the switches keep their last state and the
gateway is not ready; after ``BLIND_SECONDS`` everything is refused and ended, as if all was off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from strongroom.errors import StrongroomError
from strongroom.gateway.refusals import Refusal
from strongroom.store.interface import Switch

if TYPE_CHECKING:
    from strongroom.gateway.pipeline.passage import Passage

LOOK_SECONDS: Final = 0.25
BLIND_SECONDS: Final = 10.0


class Switching:
    """Who and what is switched off, and what is under way.

    Args:
        changes: the store's number of changes.
        switches: what the store has switched off.
        model: the name of the model behind this door.
    """

    def __init__(
        self, changes: Callable[[], int], switches: Callable[[], tuple[Switch, ...]], model: str
    ) -> None:
        self._changes = changes
        self._switches = switches
        self._model = model
        self._seen = changes()
        self._off = switches()
        self._blind = False
        self._looked = time.monotonic()
        self._under_way: set[Passage] = set()
        self._apply()

    @property
    def sees(self) -> bool:
        """Whether the last look succeeded."""
        return time.monotonic() - self._looked < 4 * LOOK_SECONDS + 1.0

    def require(self, organisation: str) -> None:
        """Step 4: 403 or 503 ``gateway.switched_off``, 503 ``gateway.switch_unknown``."""
        if self._closed or organisation in self._tenants:
            raise self._refusal(organisation)

    def begin(self, passage: Passage) -> None:
        """A request goes to the keeper."""
        self._under_way.add(passage)

    def end(self, passage: Passage) -> None:
        """It has ended."""
        self._under_way.discard(passage)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    def end_all(self, reason: Refusal) -> None:
        """End all that is under way."""
        for passage in tuple(self._under_way):
            passage.stop(reason)

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                changed = await asyncio.to_thread(self._look)
            except StrongroomError:
                changed = time.monotonic() - self._looked > BLIND_SECONDS
            if changed:
                self._apply()

    def _look(self) -> bool:
        """Read the store, in a thread; whether something is other than it was."""
        seen, was_blind = self._changes(), self._blind
        if seen != self._seen:
            self._off = self._switches()
        changed = seen != self._seen or was_blind
        self._seen = seen
        self._looked = time.monotonic()
        return changed

    def _apply(self) -> None:
        self._blind = time.monotonic() - self._looked > BLIND_SECONDS
        self._tenants = {each.name for each in self._off if each.kind == "tenant"}
        off = any(each.kind == "model" and each.name == self._model for each in self._off)
        self._closed = self._blind or off
        for passage in tuple(self._under_way):
            organisation = passage.caller.organisation if passage.caller else ""
            if self._closed or organisation in self._tenants:
                passage.stop(self._refusal(organisation))

    def _refusal(self, organisation: str) -> Refusal:
        if self._blind:
            return Refusal(
                "gateway.switch_unknown",
                "It cannot be told whether this service is switched off.",
                action="Try again later.",
                status=503,
            )
        whom = "your organisation" if organisation in self._tenants else "this model"
        return Refusal(
            "gateway.switched_off",
            f"The operator has switched off {whom}.",
            action="Ask whoever runs this service.",
            status=403 if organisation in self._tenants else 503,
        )
