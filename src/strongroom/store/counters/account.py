"""What one subject has spent and holds, and what it allows. Pure; rules in ``store.limits``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from strongroom.store.limits import (
    LARGEST,
    MINUTE_US,
    NOTHING,
    RESOURCES,
    SLOT_US,
    SLOTS,
    WINDOWS,
    Cost,
    Denied,
    Granted,
    Limits,
    Resource,
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
Entry = tuple[int, Sequence[int]]


class Window:
    """What was spent in the last minute or day, by slots that were not empty.

    ``newest`` is the latest slot that was charged. A window taken from elsewhere may come without
    its entries, which only ``advance``, ``add`` and ``wait_us`` need.
    """

    __slots__ = ("entries", "newest", "slot_us", "slots", "spent")

    def __init__(
        self,
        which: int,
        entries: Iterable[Entry] = (),
        spent: Sequence[int] = NOTHING,
        newest: int = 0,
    ) -> None:
        self.slot_us = SLOT_US[which]
        self.slots = SLOTS[which]
        self.entries = deque((slot, list(amounts)) for slot, amounts in entries)
        self.spent = list(spent)
        self.newest = newest

    def advance(self, now: int) -> None:
        """Forget the slots that no window ending at ``now`` can touch."""
        gone = now // self.slot_us - self.slots
        while self.entries and self.entries[0][0] <= gone:
            _, amounts = self.entries.popleft()
            self.spent = [spent - amount for spent, amount in zip(self.spent, amounts, strict=True)]

    def add(self, cost: Sequence[int], now: int) -> None:
        """Charge the slot of ``now``."""
        slot = now // self.slot_us
        if not self.entries or self.entries[-1][0] != slot:
            self.entries.append((slot, [0] * len(RESOURCES)))
        self.newest = slot
        newest = self.entries[-1][1]
        for resource, amount in enumerate(cost):
            newest[resource] += amount
            self.spent[resource] += amount

    def wait_us(self, resource: int, excess: int, now: int) -> int:
        """Microseconds until ``excess`` of a resource has left the window."""
        for slot, amounts in self.entries:
            excess -= amounts[resource]
            if excess <= 0:
                return (slot + self.slots) * self.slot_us - now
        return SETTLES_SOON_US

    def reset_us(self, now: int) -> int:
        """Microseconds until the window is empty."""
        return (self.newest + self.slots) * self.slot_us - now if any(self.spent) else 0


class Account:
    """The state of one subject at ``now``."""

    __slots__ = ("concurrent", "day", "debt", "held", "minute", "now", "total")

    def __init__(self) -> None:
        self.now = 0
        self.minute, self.day = Window(0), Window(1)
        self.total = [0] * len(RESOURCES)
        self.held = [0] * len(RESOURCES)
        self.concurrent = 0
        self.debt = 0
        """GCRA's, in requests x ``MINUTE_US``."""

    def advance(self, now: int, limits: Limits) -> None:
        """Come to ``now``, unless a later instant was seen."""
        if now > self.now:
            if limits.minute.requests is not None and self.debt:
                self.debt = gcra_debt(self.debt, now - self.now, limits.minute.requests)
            self.now = now
            self.minute.advance(now)
            self.day.advance(now)

    def has_room(self, limits: Limits, worst: Cost) -> bool:
        """Rule 2."""
        spent = (self.minute.spent, self.day.spent, self.total)
        for window, resource, limit in rules(limits):
            wanted = worst[resource]
            if wanted and spent[window][resource] + self.held[resource] + wanted > limit:
                return False
        if not worst.requests:
            return True
        most = limits.concurrent
        if most is not None and self.concurrent + worst.requests > most:
            return False
        rate = limits.minute.requests
        if rate is None:
            return True
        return self.debt + worst.requests * MINUTE_US <= gcra_capacity(rate, limits.burst)

    def hold(self, limits: Limits, worst: Cost) -> None:
        """Rule 1, after ``has_room``."""
        for resource, amount in enumerate(worst):
            self.held[resource] += amount
        self.concurrent += worst.requests
        if limits.minute.requests is not None:
            self.debt += worst.requests * MINUTE_US

    def spend(self, spent: Sequence[int], freed: Sequence[int], places: int) -> None:
        """Rules 4 and 5: charge ``spent`` now; ``freed`` and ``places`` are held no more."""
        for resource, amount in enumerate(freed):
            self.held[resource] -= amount
        self.concurrent -= places
        if any(spent):
            self.minute.add(spent, self.now)
            self.day.add(spent, self.now)
            self.total = [old + new for old, new in zip(self.total, spent, strict=True)]

    def usage(self) -> Usage:
        """For people."""
        return Usage(
            minute=Cost(*self.minute.spent),
            day=Cost(*self.day.spent),
            total=Cost(*self.total),
            held=Cost(*self.held),
            concurrent=self.concurrent,
        )

    # What is told of a decision; nothing here decides.

    def standings(self, limits: Limits) -> list[Standing]:
        """Every limit a minute or a day on requests and tokens."""
        found = []
        for index, resource, limit in rules(limits):
            if index < 2 and RESOURCES[resource] in _TOLD:
                window = self.day if index else self.minute
                left = limit - window.spent[resource] - self.held[resource]
                full = window.slots * window.slot_us
                reset = full if self.held[resource] else window.reset_us(self.now)
                found.append(
                    Standing(RESOURCES[resource], WINDOWS[index], limit, max(0, left), reset)
                )
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
            wanted = worst[resource]
            window = (self.minute, self.day, None)[index]
            spent = window.spent[resource] if window else self.total[resource]
            over = spent + self.held[resource] + wanted - limit
            if wanted and over > 0:
                if wanted > limit or (not window and spent + wanted > limit):
                    wait = None
                elif window is None or spent + wanted <= limit:
                    wait = SETTLES_SOON_US
                else:
                    wait = window.wait_us(resource, spent + wanted - limit, self.now)
                left = max(0, wanted - over)
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


def granted(pairs: Iterable[tuple[Subject, Account]]) -> Granted:
    """What is told of a reservation: of each resource, the limit nearest to its end."""
    return Granted(tightest(s for subject, a in pairs for s in a.standings(subject.limits)))


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
    """What is moved for one request between two settlements. Rules 4 to 6."""

    __slots__ = ("settled", "subjects", "worst")

    def __init__(self, subjects: tuple[Subject, ...], worst: Cost) -> None:
        self.subjects = subjects
        self.worst = worst
        self.settled = NOTHING

    def step(self, actual: Sequence[int], *, final: bool) -> tuple[list[int], list[int], int]:
        """What is to be spent, what is held no more, and how many places are free again."""
        spent, freed = [], []
        reached = []
        for old, worst, new in zip(self.settled, self.worst, actual, strict=True):
            now = max(old, new)
            reached.append(now)
            spent.append(now - old)
            freed.append((worst if final else min(now, worst)) - min(old, worst))
        self.settled = Cost(*reached)
        return spent, freed, self.worst.requests if final else 0
