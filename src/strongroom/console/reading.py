"""What the console can show: plain frozen values, and who takes them.

Pages see nothing else. A value is text or a number as it is; how it is written is up to ``figures``
and the templates. Times are UTC. Names come from operators and, in refusals, from callers' keys:
templates escape all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Health = Literal["good", "attention", "bad", "unknown"]


class Egress(msgspec.Struct, frozen=True):
    """Bits that have left in the sliding hour and day, against budgets and the effective size.

    ``effective_bits`` is what carrying the model out takes; 0 where the gateway does not know it.
    """

    bits_hour: float
    bits_day: float
    budget_hour: float
    budget_day: float
    effective_bits: float

    @property
    def days_at_rate(self) -> float | None:
        """Days to carry out the weights at the last day's rate; ``None``: not known."""
        return self._days(self.bits_day)

    @property
    def days_at_budget(self) -> float | None:
        """The same if all of the budget were used: the lesser of a day's and 24 hours' budget."""
        return self._days(min(self.budget_day, 24 * self.budget_hour))

    def _days(self, bits_a_day: float) -> float | None:
        if not self.effective_bits:
            return None
        return self.effective_bits / bits_a_day if bits_a_day else float("inf")


class Switch(msgspec.Struct, frozen=True):
    """Something is switched off: since when, why, and by whom."""

    at: datetime
    reason: str
    by: str


class Gateway(msgspec.Struct, frozen=True):
    """One gateway and the model behind it. ``problem`` says why nothing more is known of it.

    ``walls`` maps each lock-down measure to ``on`` or to why it is off.
    """

    address: str
    problem: str = ""
    model: str = ""
    model_id: str = ""
    release: int = 0
    digest: str = ""
    kind: str = ""
    rungs: Mapping[str, str] = {}
    walls: Mapping[str, str] = {}
    keeper_up: bool = False
    active: int = 0
    waiting: int = 0
    in_flight: int = 0
    since: datetime | None = None
    egress: Egress | None = None
    off: Switch | None = None

    @property
    def health(self) -> Health:
        """``bad``: does not answer; ``attention``: switched off or a wall is down."""
        if self.problem or not self.keeper_up:
            return "bad"
        walls_down = any(state != "on" for state in self.walls.values())
        return "attention" if self.off or walls_down else "good"


class Use(msgspec.Struct, frozen=True):
    """How much of one limit is used. ``window`` is ``minute``, ``day``, ``total`` or ``now``."""

    resource: str
    window: str
    used: int
    limit: int | None

    @property
    def share(self) -> float | None:
        """Used share of the limit, 0 to 1 and beyond; ``None`` without a limit."""
        if self.limit is None:
            return None
        return self.used / self.limit if self.limit else 1.0


class Organisation(msgspec.Struct, frozen=True):
    """One organisation, its keys in force, what it used, and what it was refused today."""

    name: str
    keys: int
    uses: tuple[Use, ...] = ()
    requests_day: int = 0
    refused_day: int = 0
    output_tokens_day: int = 0
    egress_bits_day: float = 0.0
    signals_day: int = 0
    off: Switch | None = None

    @property
    def fullest(self) -> Use | None:
        """The limit that is used most."""
        limited = [use for use in self.uses if use.share is not None]
        return max(limited, key=lambda use: use.share or 0.0, default=None)


class Refusals(msgspec.Struct, frozen=True):
    """Refusals of one reason code; ``by`` maps organisations to counts of the day, most first.

    Refusals before a key was known count under the empty name.
    """

    code: str
    hour: int
    day: int
    last: datetime
    by: tuple[tuple[str, int], ...] = ()


class Signal(msgspec.Struct, frozen=True):
    """One signal of detection: what was seen, where, why it matters, what was done."""

    at: datetime
    kind: str
    organisation: str
    score: float | None
    explanation: str
    action: str


class Log(msgspec.Struct, frozen=True):
    """One log folder: its newest signed checkpoint, and whether all of it holds."""

    name: str
    state: Literal["verified", "reading", "damaged", "empty"]
    sentence: str
    entries: int = 0
    root: str = ""
    checked: datetime | None = None
    newest: datetime | None = None


class Act(msgspec.Struct, frozen=True):
    """Something that an operator or a command did: from ``log/operator``."""

    at: datetime
    what: str
    detail: str
    by: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything at one moment. ``problems`` are sentences about what could not be read."""

    taken: datetime
    gateways: tuple[Gateway, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    signals: tuple[Signal, ...] = ()
    logs: tuple[Log, ...] = ()
    acts: tuple[Act, ...] = ()
    problems: tuple[str, ...] = ()


class Reader(Protocol):
    """Takes snapshots. Called on threads, one call at a time."""

    def snapshot(self) -> Snapshot:
        """The state now. What cannot be read becomes a sentence in it; never raises for that."""


class Switchboard(Protocol):
    """Turns things off and on, durably and with a record in the log."""

    def switch(
        self, kind: Literal["model", "tenant"], name: str, on: bool, reason: str, by: str
    ) -> None:
        """Switch ``name``. ``reason`` is at most 200 printable characters, ``by`` an operator.

        Raises:
            StrongroomError: there is no such thing, or it could not be recorded.
        """
