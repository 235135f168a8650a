"""What one subject has spent and holds, and what it allows. Pure; rules in ``store.limits``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from strongroom.store.counters.lanes import amount, over, pack, pack_limits, unpack, wanted
from strongroom.store.limits import (
    LARGEST,
    MINUTE_US,
    NOTHING,
    RESOURCES,
    SLOT_US,
    SLOTS,
    UNLIMITED,
    WINDOWS,
    Cost,
    Denied,
    Granted,
    Limits,
    Resource,
    Rule,
    Standing,
    Subject,
    Usage,
    WindowName,
    gcra_capacity,
    gcra_debt,
    gcra_wait_us,
    rules,
)

SETTLES_SOON_US: Final = 1_000_000
"""When to come again if only what is held stands in the way: nobody knows when it is settled."""

_TOLD: Final = ("requests", "input_tokens", "output_tokens")
Entry = tuple[int, int]
"""A slot and what was spent in it."""


class Terms(NamedTuple):
    """Limits, prepared: in ``lanes`` for each window, and those that callers are told of."""

    minute: int
    day: int
    total: int
    told: tuple[Rule, ...]


@lru_cache(maxsize=4096)
def terms(limits: Limits) -> Terms:
    """The terms of these limits."""
    minute, day, total = (
        pack_limits(msgspec.structs.astuple(amounts))
        for amounts in (limits.minute, limits.day, limits.total)
    )
    told = (r for r in rules(limits) if r.window < 2 and RESOURCES[r.resource] in _TOLD)
    return Terms(minute, day, total, tuple(told))


class Window:
    """What was spent in the last minute or day, by slots that were not empty, in ``lanes``.

    ``newest`` is the latest slot that was charged. A window taken from elsewhere may come without
    its entries, which only ``advance``, ``add`` and ``wait_us`` need.
    """

    __slots__ = ("_full_until", "_oldest_until", "entries", "newest", "slot_us", "slots", "spent")

    def __init__(
        self, which: int, entries: Iterable[Entry] = (), spent: int = 0, newest: int = 0
    ) -> None:
        self.slot_us = SLOT_US[which]
        self.slots = SLOTS[which]
        self.entries = deque([slot, amounts] for slot, amounts in entries)
        self.spent = spent
        self.newest = newest
        self._oldest_until = 0
        """Before this instant no slot can be forgotten."""
        self._full_until = 0
        """Before this instant the newest slot is that of now."""

    def advance(self, now: int) -> None:
        """Forget the slots that no window ending at ``now`` can touch."""
        if now < self._oldest_until:
            return
        gone = now // self.slot_us - self.slots
        while self.entries and self.entries[0][0] <= gone:
            self.spent -= self.entries.popleft()[1]
        oldest = self.entries[0][0] if self.entries else now // self.slot_us
        self._oldest_until = (oldest + self.slots) * self.slot_us

    def add(self, cost: int, now: int) -> None:
        """Charge the slot of ``now``."""
        if now >= self._full_until:
            self.newest = now // self.slot_us
            self._full_until = (self.newest + 1) * self.slot_us
            if not self.entries or self.entries[-1][0] != self.newest:
                self.entries.append([self.newest, 0])
        self.entries[-1][1] += cost
        self.spent += cost

    def wait_us(self, resource: int, excess: int, now: int) -> int:
        """Microseconds until ``excess`` of a resource has left the window."""
        for slot, amounts in self.entries:
            excess -= amount(amounts, resource)
            if excess <= 0:
                return (slot + self.slots) * self.slot_us - now
        return SETTLES_SOON_US

    def reset_us(self, now: int) -> int:
        """Microseconds until the window is empty."""
        return (self.newest + self.slots) * self.slot_us - now if self.spent else 0


class Account:
    """The state of one subject at ``now``. Amounts are in ``lanes``."""

    __slots__ = (
        "_limits",
        "_terms",
        "concurrent",
        "day",
        "debt",
        "held",
        "minute",
        "now",
        "total",
    )

    def __init__(self) -> None:
        self._limits = UNLIMITED
        self._terms = terms(UNLIMITED)
        self.now = 0
        self.minute, self.day = Window(0), Window(1)
        self.total = 0
        self.held = 0
        self.concurrent = 0
        self.debt = 0
        """GCRA's, in requests x ``MINUTE_US``."""

    def advance(self, now: int, limits: Limits) -> None:
        """Come to ``now``, unless a later instant was seen."""
        if now > self.now:
            if self.debt and limits.minute.requests is not None:
                self.debt = gcra_debt(self.debt, now - self.now, limits.minute.requests)
            self.now = now
            self.minute.advance(now)
            self.day.advance(now)

    def has_room(self, limits: Limits, worst: int) -> bool:
        """Rule 2."""
        minute, day, total, _ = self._under(limits)
        judged, used = wanted(worst), self.held + worst
        if (
            over(minute, self.minute.spent + used, judged)
            or over(day, self.day.spent + used, judged)
            or over(total, self.total + used, judged)
        ):
            return False
        requests = amount(worst, 0)
        if not requests:
            return True
        most = limits.concurrent
        if most is not None and self.concurrent + requests > most:
            return False
        rate = limits.minute.requests
        if rate is None:
            return True
        return self.debt + requests * MINUTE_US <= gcra_capacity(rate, limits.burst)

    def hold(self, limits: Limits, worst: int) -> None:
        """Rule 1, after ``has_room``."""
        requests = amount(worst, 0)
        self.held += worst
        self.concurrent += requests
        if limits.minute.requests is not None:
            self.debt += requests * MINUTE_US

    def spend(self, spent: int, freed: int, places: int) -> None:
        """Rules 4 and 5: charge ``spent`` now; ``freed`` and ``places`` are held no more."""
        self.held -= freed
        self.concurrent -= places
        if spent:
            self.minute.add(spent, self.now)
            self.day.add(spent, self.now)
            self.total += spent

    def _under(self, limits: Limits) -> Terms:
        if limits is not self._limits:
            self._limits, self._terms = limits, terms(limits)
        return self._terms

    def usage(self) -> Usage:
        """For people."""
        return Usage(
            minute=Cost(*unpack(self.minute.spent)),
            day=Cost(*unpack(self.day.spent)),
            total=Cost(*unpack(self.total)),
            held=Cost(*unpack(self.held)),
            concurrent=self.concurrent,
        )

    # What is told of a decision; nothing here decides.

    def standings(self, limits: Limits) -> list[Standing]:
        """Every limit a minute or a day on requests and tokens."""
        found = []
        for index, resource, limit in self._under(limits).told:
            window = self.day if index else self.minute
            held = amount(self.held, resource)
            left = limit - amount(window.spent, resource) - held
            reset = window.slots * window.slot_us if held else window.reset_us(self.now)
            found.append(Standing(RESOURCES[resource], WINDOWS[index], limit, max(0, left), reset))
        return found

    def denial(self, subject: Subject, worst: Cost) -> Denied | None:
        """Why there is no room, by the limit that takes longest to have some."""
        limits = subject.limits
        found = [
            Denied(subject.kind, *why)
            for why in (*self._full(limits, worst), *self._crowded(limits, worst))
        ]
        return max(found, key=_patience) if found else None

    def _full(self, limits: Limits, worst: Cost) -> list[_Why]:
        found: list[_Why] = []
        for index, resource, limit in rules(limits):
            wanting = worst[resource]
            window = (self.minute, self.day, None)[index]
            spent = amount(window.spent if window else self.total, resource)
            excess = spent + amount(self.held, resource) + wanting - limit
            if wanting and excess > 0:
                if wanting > limit or (not window and spent + wanting > limit):
                    wait = None
                elif window is None or spent + wanting <= limit:
                    wait = SETTLES_SOON_US
                else:
                    wait = window.wait_us(resource, spent + wanting - limit, self.now)
                left = max(0, wanting - excess)
                found.append((RESOURCES[resource], WINDOWS[index], limit, left, wait))
        return found

    def _crowded(self, limits: Limits, worst: Cost) -> list[_Why]:
        found: list[_Why] = []
        most = limits.concurrent
        if most is not None and worst.requests and self.concurrent + worst.requests > most:
            soon = SETTLES_SOON_US if worst.requests <= most else None
            left = max(0, most - self.concurrent)
            found.append(("concurrent", "minute", most, left, soon))
        rate = limits.minute.requests
        if rate and worst.requests:
            wait = gcra_wait_us(self.debt, worst.requests, rate, limits.burst)
            capacity = gcra_capacity(rate, limits.burst)
            if wait:
                left = max(0, capacity - self.debt) // MINUTE_US
                after = None if wait < 0 else wait
                found.append(("burst", "minute", capacity // MINUTE_US, left, after))
        return found


_Why = tuple[Resource | Literal["concurrent", "burst"], WindowName, int, int, int | None]


def _patience(denied: Denied) -> int:
    return LARGEST if denied.retry_after_us is None else denied.retry_after_us


def granted(pairs: Sequence[tuple[Subject, Account]]) -> Granted:
    """What is told of a reservation: of each resource, the limit nearest to its end."""
    return Granted(lambda: tightest(s for who, a in pairs for s in a.standings(who.limits)))


def denied(pairs: Sequence[tuple[Subject, Account]], worst: Cost) -> Denied | None:
    """Why there is no room, and how the limits stand; ``None`` if there is room."""
    for subject, account in pairs:
        found = account.denial(subject, worst)
        if found is not None:
            standings = (s for who, a in pairs for s in a.standings(who.limits))
            return found._replace(standings=tightest(standings))
    return None


def tightest(standings: Iterable[Standing]) -> tuple[Standing, ...]:
    """Of each resource, the one with the smallest part left."""
    best: dict[str, Standing] = {}
    for standing in standings:
        known = best.get(standing.resource)
        if known is None or standing.remaining * known.limit < known.remaining * standing.limit:
            best[standing.resource] = standing
    return tuple(best.values())


class Settlement:
    """What is moved for one request between two settlements, in ``lanes``. Rules 4 to 6."""

    __slots__ = ("_settled", "_worst", "worst")

    def __init__(self, worst: Cost, lanes: int) -> None:
        self.worst = worst
        self._worst = lanes
        self._settled = NOTHING

    def step(self, actual: Cost, *, final: bool) -> tuple[int, int, int]:
        """What is to be spent, what is held no more, and how many places are free again."""
        if final and self._settled is NOTHING:
            self._settled = actual
            return pack(actual), self._worst, self.worst.requests
        reached = Cost(*map(max, self._settled, actual))
        spent = pack(reached) - pack(self._settled)
        freed = self._worst if final else pack(tuple(map(min, reached, self.worst)))
        freed -= pack(tuple(map(min, self._settled, self.worst)))
        self._settled = reached
        return spent, freed, self.worst.requests if final else 0
