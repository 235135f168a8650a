"""Keys and organisations in memory, as the store has them or had them a moment ago.

Nothing of the request path waits for the store on the event loop:

1. What is here is answered at once. What is not raises ``NotHere``; whoever identifies callers then
   awaits ``fetch``, which reads the store in a thread, and asks again. Requests that miss the same
   share one look.
2. The gateway looks at the store's number of changes four times a second (``switching``), through
   ``changes``. If it is another, everything here is forgotten.
3. What was being fetched meanwhile is not kept: it may have been read before the change.
4. If the last look began more than ``LAST_LOOK_SECONDS`` ago, only what was read since counts.

So whatever is answered was true at most ``LAST_LOOK_SECONDS`` ago, and with what ``api_keys`` keeps
a revocation is felt within a second, or the store is asked, or the request is refused.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, Protocol

from strongroom.store.interface import IdentityStore, KeyRecord, Organisation

LAST_LOOK_SECONDS: Final = 0.6
_MOST: Final = 20_000
_THREADS: Final = 2

_Place = tuple[Literal["key", "organisation"], str]
_Found = KeyRecord | Organisation | None


class Lookups(Protocol):
    """Where keys and organisations are looked up: a store, or a ``Directory`` of it."""

    def key(self, key_id: str) -> KeyRecord | None:
        """The key with this id."""

    def organisation(self, name: str) -> Organisation | None:
        """The organisation of this name."""


class NotHere(Exception):
    """What must be fetched first."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self.place = place


class Directory:
    """The store's keys and organisations; see the module.

    Args:
        store: asked in threads.
        clock: seconds that only go forward.
    """

    def __init__(self, store: IdentityStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._found: dict[_Place, tuple[float, _Found]] = {}
        self._number: int | None = None
        self._looked = clock()
        self._forgotten = 0
        self._fetching: dict[_Place, asyncio.Future[tuple[float, _Found]]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "identity")

    def changes(self) -> int:
        """The store's number of changes: rule 2. Blocks; for threads."""
        begun = self._clock()
        number = self._store.changes()
        if number != self._number:
            self._forgotten += 1
            self._found = {}
            self._number = number
        self._looked = begun
        return number

    def key(self, key_id: str) -> KeyRecord | None:
        """The key with this id; ``NotHere`` if it has to be fetched."""
        found = self._here(("key", key_id))
        return found if isinstance(found, KeyRecord) else None

    def organisation(self, name: str) -> Organisation | None:
        """The organisation of this name; ``NotHere`` if it has to be fetched."""
        found = self._here(("organisation", name))
        return found if isinstance(found, Organisation) else None

    async def fetch(self, place: _Place) -> None:
        """Read one thing from the store, in a thread; unless that changed, it is here afterwards.

        Raises:
            StrongroomError: ``store.unavailable``.
        """
        loop = asyncio.get_running_loop()
        going = self._fetching.get(place)
        if going is None:
            going = loop.run_in_executor(self._threads, self._read, place)
            self._fetching[place] = going
            going.add_done_callback(lambda _done: self._fetching.pop(place, None))
        forgotten = self._forgotten
        found = await asyncio.shield(going)
        if forgotten == self._forgotten:  # (3)
            if len(self._found) >= _MOST:
                self._found = {}
            self._found[place] = found

    def close(self) -> None:
        """Let its threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _here(self, place: _Place) -> _Found:
        read, found = self._found.get(place, (-math.inf, None))
        if self._clock() - max(read, self._looked) > LAST_LOOK_SECONDS or read == -math.inf:  # (4)
            raise NotHere(place)
        return found

    def _read(self, place: _Place) -> tuple[float, _Found]:
        (kind, name), begun = place, self._clock()
        return begun, self._store.key(name) if kind == "key" else self._store.organisation(name)
