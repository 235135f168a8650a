"""What a store of counters promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from strongroom.store.limits import Cost, Denied, Granted, Subject, Usage


class Counters(ABC):
    """Reserve, then settle; the rules are numbered in ``strongroom.store.limits``.

    The order of calls for a request: ``reserve`` once, ``settle`` as often as it costs something,
    the last time with ``final=True``. A request that ends without a final settlement stays charged
    with all that was reserved for it.

    Time is the store's own: one clock for all who share it.

    Errors: ``EnvironmentLacks`` ``limits.store_unavailable`` when the store cannot be reached, and
    ``limits.store_forgot`` when it lost what it knew. Both mean: refuse the request.
    """

    @abstractmethod
    async def reserve(
        self, request_id: str, subjects: Sequence[Subject], worst: Cost
    ) -> Granted | Denied:
        """Hold ``worst`` for every subject, or for none. ``request_id`` was never used before.

        ``worst.requests`` is also the number of places taken among the concurrent.
        A ``request_id`` that is held already is refused: ``limits.duplicate_request``.
        """

    @abstractmethod
    async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
        """Charge what the request has cost so far, ``actual`` counting from its start.

        Never fails because a store is gone: it is sent later, and until then more is charged,
        not less.

        Returns:
            Whether the request was held, as far as is known.
        """

    @abstractmethod
    async def give_back(self, request_id: str) -> bool:
        """End a request that its process left behind: what was settled stays spent.

        For whoever has read in the record how the request ended (settle first what it says).

        Returns:
            False if nothing was held under this id, as after a second call.
        """

    @abstractmethod
    async def held(self, prefix: str) -> dict[str, Cost]:
        """What is held under ids that begin with ``prefix``, and what was reserved for each."""

    @abstractmethod
    async def usage(self, subject: Subject) -> Usage:
        """What the subject has spent, and what is held for it."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections; the object is unusable afterwards."""
