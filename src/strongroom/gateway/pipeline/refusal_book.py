"""Refusals before anything was forwarded, each counted in the record, however many come.

The first of a kind (same organisation, key, route, code and status) in a second is recorded at
once, by itself. The others of that second become one entry with ``counts = {"times": n}``, which
is written when the second is over. So a flood costs a record a second and kind, and no refusal is
missing from the sums. Nobody waits for these records.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from strongroom.errors import StrongroomError
from strongroom.ledger.entries import KeeperFault, Refused, Signal
from strongroom.ledger.interface import Record

TIMES: Final = "times"
"""Name of the count in an entry that stands for several refusals."""

SECOND: Final = 1.0
_Kind = tuple[str, str, str, str, int]


class RefusalBook:
    """Writes refusals to the record.

    Args:
        record: the log.
        failed: told when the log cannot be written any more.
    """

    def __init__(self, record: Record, failed: Callable[[StrongroomError], None]) -> None:
        self._record = record
        self._failed = failed
        self._seen: dict[_Kind, tuple[Refused, int]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, entry: Refused) -> None:
        """Count one refusal."""
        kind = (entry.organisation, entry.key_id, entry.route, entry.code, entry.status)
        seen = self._seen.get(kind)
        if seen is not None:
            self._seen[kind] = (entry, seen[1] + 1)
            return
        self._seen[kind] = (entry, 0)
        self.write(entry)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECOND, self._turn)

    async def close(self) -> None:
        """Write what was only counted so far, and wait until all is durable."""
        if self._timer is not None:
            self._timer.cancel()
            self._turn()
        await asyncio.gather(*self._writing)

    def _turn(self) -> None:
        """A second is over."""
        self._timer = None
        for entry, times in self._seen.values():
            if times:
                self.write(msgspec.structs.replace(entry, counts={TIMES: times}))
        self._seen.clear()

    def write(self, entry: Refused | Signal | KeeperFault) -> None:
        """Append ``entry``; nobody waits for it but ``close``."""
        task = asyncio.ensure_future(self._append(entry))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _append(self, entry: Refused | Signal | KeeperFault) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await self._record.append(entry)
            except StrongroomError as error:
                self._failed(error)
