"""What a request may cost, what somebody may spend, and the arithmetic between them. Pure.

A request is paid for in five resources. Who pays is every *subject* above it: its organisation and
its key. The rules, which every counter store follows:

1. **Reserve.** Before a request is forwarded, the most that it may cost is held for every subject,
   or for none. While it is held it counts against every window of every subject.
2. **Room.** A subject has room if, for every limit it has, ``spent in the window + held + wanted``
   is at most the limit; its concurrent requests with the wanted ones are at most ``concurrent``;
   and GCRA has the requests.
3. **GCRA.** Requests a minute are spaced as well: ``burst`` may come at once (without a number:
   all of the minute's), further ones at the rate of the limit. What GCRA took is not given back.
4. **Settle.** As a request goes on, its cost so far is moved from held to spent, at that instant.
   Costs are cumulative: settling the same cost twice moves nothing, a lower one neither.
5. **The end.** The last settlement gives back what is still held, and the places among the
   concurrent. Settling or giving back what is not held does nothing.
6. **Truth.** What a request cost above its reservation is charged too. A reservation that was too
   small is a defect of whoever computed it; the counters do not hide it.
7. **A crash.** What a dead process held stays held until somebody who has read the record gives it
   back by the request's id.
8. **Time** never goes backwards: an earlier instant counts as the latest one seen.

So as long as no request costs more than was reserved for it, **no subject spends more than a limit
in any minute, in any day, or in total**, wherever the window starts and however requests
interleave. Windows slide in slots: a minute is kept as 121 slots of half a second, a day as 145 of
ten minutes, and a slot counts in full until no instant of it can share a window with now. The price
is that budget comes back up to one slot late: of a steady flow, 99.1 % of a minute's limit and
99.3 % of a day's is usable.

All amounts are integers from 0 to ``LARGEST``, times are microseconds since the epoch: every sum is
exact in a signed 64-bit integer and in a double, which is what Lua reckons with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

Resource = Literal["requests", "input_tokens", "output_tokens", "compute_ms", "egress_millibits"]
WindowName = Literal["minute", "day", "total"]
SubjectKind = Literal["organisation", "key"]

RESOURCES: Final[tuple[Resource, ...]] = (
    "requests",
    "input_tokens",
    "output_tokens",
    "compute_ms",
    "egress_millibits",
)
WINDOWS: Final[tuple[WindowName, ...]] = ("minute", "day", "total")
LARGEST: Final = 2**50
"""The largest limit and the largest amount: sums of a few stay exact in a double."""

MOST_REQUESTS_A_MINUTE: Final = 10**8

MINUTE_US: Final = 60_000_000
SLOT_US: Final = (500_000, 600_000_000)
"""Length of a slot of the minute and of the day."""
SLOTS: Final = (121, 145)
"""How many slots the minute and the day are kept in."""

_Limit = Annotated[int, Meta(ge=0, le=LARGEST)] | None


class Cost(NamedTuple):
    """An amount of every resource, in the order of ``RESOURCES``; none is negative.

    ``compute_ms`` is milliseconds of the engine, ``egress_millibits`` thousandths of a bit.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    compute_ms: int = 0
    egress_millibits: int = 0

    def but_requests(self) -> Cost:
        """The same without the requests."""
        return Cost(0, *self[1:])


NOTHING: Final = Cost()


class Amounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A limit for each resource in one window; ``None`` sets none."""

    requests: _Limit = None
    input_tokens: _Limit = None
    output_tokens: _Limit = None
    compute_ms: _Limit = None
    egress_millibits: _Limit = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one subject may spend: in any minute, any day, in total, and at the same time.

    ``burst`` is how many of a minute's requests may come at once; without it, all.
    """

    minute: Amounts = Amounts()
    day: Amounts = Amounts()
    total: Amounts = Amounts()
    concurrent: Annotated[int, Meta(ge=0, le=10**6)] | None = None
    burst: Annotated[int, Meta(ge=1, le=MOST_REQUESTS_A_MINUTE)] | None = None

    def __post_init__(self) -> None:
        if (self.minute.requests or 0) > MOST_REQUESTS_A_MINUTE:
            raise ValueError(f"requests a minute are at most {MOST_REQUESTS_A_MINUTE}")


UNLIMITED: Final = Limits()


class Rule(NamedTuple):
    """One limit: indices into ``WINDOWS`` and ``RESOURCES``, and the amount."""

    window: int
    resource: int
    limit: int


@lru_cache(maxsize=4096)
def rules(limits: Limits) -> tuple[Rule, ...]:
    """Every limit that is set."""
    return tuple(
        Rule(window, resource, limit)
        for window, name in enumerate(WINDOWS)
        for resource, field in enumerate(RESOURCES)
        if (limit := getattr(getattr(limits, name), field)) is not None
    )


class Subject(NamedTuple):
    """Who pays: an organisation by its name, or a key by its id."""

    kind: SubjectKind
    id: str
    limits: Limits = UNLIMITED


class Standing(NamedTuple):
    """How one limit stands. ``reset_us``: until all of it is free again, if nothing more comes."""

    resource: Resource
    window: WindowName
    limit: int
    remaining: int
    reset_us: int


class Granted:
    """The reservation is held. Most are never asked how the limits stand: ``tell`` is, if so."""

    __slots__ = ("_tell", "_told")

    def __init__(self, tell: Callable[[], tuple[Standing, ...]] = tuple) -> None:
        self._tell = tell
        self._told: tuple[Standing, ...] | None = None

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The tightest limits, for ``x-ratelimit-*``, as they stand when first asked for."""
        if self._told is None:
            self._told = self._tell()
        return self._told


class Denied(NamedTuple):
    """Nothing is held, because ``subject`` has no room.

    ``resource`` is ``concurrent`` for the requests at the same time and ``burst`` for GCRA.
    ``retry_after_us`` is when there may be room; ``None`` if waiting alone brings none.
    """

    subject: SubjectKind
    resource: Resource | Literal["concurrent", "burst"]
    window: WindowName
    limit: int
    remaining: int
    retry_after_us: int | None
    standings: tuple[Standing, ...] = ()


class Usage(NamedTuple):
    """What a subject has spent in the windows that end now, and what is held for it."""

    minute: Cost
    day: Cost
    total: Cost
    held: Cost
    concurrent: int


# --- GCRA -------------------------------------------------------------------------------------


def gcra_debt(debt: int, elapsed_us: int, per_minute: int) -> int:
    """What is left of ``debt`` after ``elapsed_us`` at a rate of ``per_minute`` requests.

    The generic cell rate algorithm in its leaky-bucket form (ITU-T I.371 shows both equal): a
    request adds ``MINUTE_US``, each microsecond takes ``per_minute`` away. No rounding at any rate.
    """
    return max(0, debt - min(elapsed_us, MINUTE_US) * per_minute)


def gcra_wait_us(debt: int, requests: int, per_minute: int, burst: int | None) -> int:
    """Microseconds until ``requests`` more conform; 0 if they do now, -1 if they never will."""
    capacity = gcra_capacity(per_minute, burst)
    if requests * MINUTE_US > capacity:
        return -1
    over = debt + requests * MINUTE_US - capacity
    return -(-over // per_minute) if over > 0 else 0


def gcra_capacity(per_minute: int, burst: int | None) -> int:
    """The debt that may be reached."""
    return (per_minute if burst is None else min(burst, per_minute)) * MINUTE_US
