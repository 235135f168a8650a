"""The egress meter: what every answer could carry out, in bits, against budgets. Pure.

What is charged is an upper bound on the information in an answer, whoever chose it
(``boundary.charging``). Sums are integers in grains of 1/1024 bit; a charge is rounded up to the
next grain, a budget is rounded down. So the meter errs on the side of the owner, by less than
0.001 bit a charge, and never drifts.

Windows slide in slots. A slot counts in full until no instant of it can share a window with now:
an hour is kept as 61 slots of a minute, a day as 145 slots of ten minutes. So in no window of an
hour or a day, wherever it starts, has more than the budget left; the price is that budget
comes back up to one slot late. Time given to the meter never goes backwards: an earlier instant
counts as the latest one seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.boundary.charging import GRAINS_PER_BIT

LARGEST_BUDGET = 2**62
"""In grains: what a budget is cut to, so that every sum fits a signed 64-bit integer."""

HOUR_SECONDS, HOUR_SLOT_SECONDS = 3600, 60
DAY_SECONDS, DAY_SLOT_SECONDS = 86_400, 600
HOUR_SLOTS = HOUR_SECONDS // HOUR_SLOT_SECONDS + 1
DAY_SLOTS = DAY_SECONDS // DAY_SLOT_SECONDS + 1


@dataclass(frozen=True, slots=True)
class Budget:
    """Grains that may leave in any hour and in any day."""

    hour: int
    day: int

    @classmethod
    def of_bits(cls, hour: float, day: float) -> Budget:
        """From bits, rounded down to a grain. Infinite and absurd budgets become the largest."""
        most = LARGEST_BUDGET // GRAINS_PER_BIT
        return cls(
            int(max(0, min(hour, most)) * GRAINS_PER_BIT),
            int(max(0, min(day, most)) * GRAINS_PER_BIT),
        )

    def least(self, other: Budget | None) -> Budget:
        """The stricter of two in each window; ``None`` sets no limit."""
        if other is None:
            return self
        return Budget(min(self.hour, other.hour), min(self.day, other.day))

    @property
    def bits_per_day(self) -> float:
        """What can really leave in a day: the hours may add up to less than the day's budget."""
        return min(self.day, 24 * self.hour) / GRAINS_PER_BIT


class Window:
    """What was charged in the recent past, in slots of ``slot_seconds``."""

    __slots__ = ("newest", "slot_seconds", "spent", "sums")

    def __init__(self, slot_seconds: int, sums: Sequence[int], newest: int = 0) -> None:
        self.slot_seconds = slot_seconds
        self.sums = list(sums)
        self.newest = newest
        """Number of the newest slot since the epoch; slot n lies at ``sums[n % len(sums)]``."""
        self.spent = sum(self.sums)

    def advance(self, now: int) -> None:
        """Forget the slots that no window ending at ``now`` seconds can touch."""
        slot = now // self.slot_seconds
        size = len(self.sums)
        for passed in range(max(self.newest, slot - size) + 1, slot + 1):
            self.spent -= self.sums[passed % size]
            self.sums[passed % size] = 0
        self.newest = max(self.newest, slot)

    def add(self, grains: int) -> None:
        """Charge the newest slot."""
        self.sums[self.newest % len(self.sums)] += grains
        self.spent += grains


class Account:
    """The hour and the day of the deployment or of one tenant.

    ``owner`` is the SHA-256 of the tenant's name: fixed in size, and no name is stored.
    """

    __slots__ = ("day", "hour", "owner")

    def __init__(self, owner: bytes, hour: Window, day: Window) -> None:
        self.owner = owner
        self.hour = hour
        self.day = day

    @classmethod
    def empty(cls, owner: bytes) -> Account:
        """An account that was never charged."""
        hour = Window(HOUR_SLOT_SECONDS, [0] * HOUR_SLOTS)
        return cls(owner, hour, Window(DAY_SLOT_SECONDS, [0] * DAY_SLOTS))

    def advance(self, now: int) -> None:
        """Forget what is older than any window that ends at ``now``."""
        self.hour.advance(now)
        self.day.advance(now)

    def room(self, budget: Budget) -> int:
        """Grains that may still leave; never negative."""
        return max(0, min(budget.hour - self.hour.spent, budget.day - self.day.spent))

    def add(self, grains: int) -> None:
        """Charge both windows."""
        self.hour.add(grains)
        self.day.add(grains)


NOBODY = bytes(32)
DEPLOYMENT, OTHERS, FIRST_TENANT = 0, 1, 2


class Meter:
    """All accounts, and the rules by which they are charged.

    ``accounts`` has a fixed length: the deployment, one account shared by tenants that found no
    place (``OTHERS``), and places for tenants. A place whose day has passed without a charge can
    be taken by another tenant. While ``OTHERS`` holds any charge no new place is given out:
    otherwise a tenant could spend one budget there and a second one in its own place. So a
    tenant's windows never exceed its budget; when places run out, newcomers share one.

    ``touched`` names the places changed since the owner last cleared it.
    """

    def __init__(self, accounts: list[Account], deployment: Budget, tenant: Budget) -> None:
        self.accounts = accounts
        self.deployment_budget = deployment
        self.tenant_budget = tenant
        self.touched: set[int] = set()
        self._places = {
            account.owner: place
            for place, account in enumerate(accounts)
            if place >= FIRST_TENANT and account.owner != NOBODY
        }
        self._minute = max(account.hour.newest for account in accounts)
        self._advance_all(self.latest)

    def room(self, tenant: str, now: int) -> int:
        """Grains that may still leave for ``tenant``, within the deployment's budget too."""
        self._advance(now)
        return self._room(self._place(owner_of(tenant)))

    def charge(self, tenant: str, grains: int, now: int) -> bool:
        """Charge ``grains`` to the tenant and the deployment, or to neither.

        Returns:
            False if either budget does not cover it; then nothing may leave.
        """
        self._advance(now)
        owner = owner_of(tenant)
        place = self._place(owner)
        if grains > self._room(place):
            return False
        if place >= FIRST_TENANT and self.accounts[place].owner != owner:
            self._take(place, owner)
        for charged in (DEPLOYMENT, place):
            self.accounts[charged].add(grains)
            self.touched.add(charged)
        return True

    def spent(self, now: int) -> tuple[int, int]:
        """Grains that left in the current hour and day of the deployment."""
        self._advance(now)
        account = self.accounts[DEPLOYMENT]
        return account.hour.spent, account.day.spent

    @property
    def latest(self) -> int:
        """The start of the latest minute seen, in seconds since the epoch."""
        return self._minute * HOUR_SLOT_SECONDS

    def _advance(self, now: int) -> None:
        """Bring every window to ``now``, but only when a minute began: slots are no finer."""
        if now // HOUR_SLOT_SECONDS > self._minute:
            self._advance_all(now)

    def _advance_all(self, now: int) -> None:
        self._minute = now // HOUR_SLOT_SECONDS
        for account in self.accounts:
            account.advance(now)

    def _room(self, place: int) -> int:
        return min(
            self.accounts[DEPLOYMENT].room(self.deployment_budget),
            self.accounts[place].room(self.tenant_budget),
        )

    def _place(self, owner: bytes) -> int:
        """Where a tenant is, or would be, accounted."""
        known = self._places.get(owner)
        if known is not None:
            return known
        if self.accounts[OTHERS].day.spent:
            return OTHERS
        for place in range(FIRST_TENANT, len(self.accounts)):
            if not self.accounts[place].day.spent:
                return place
        return OTHERS

    def _take(self, place: int, owner: bytes) -> None:
        self._places.pop(self.accounts[place].owner, None)
        self._places[owner] = place
        self.accounts[place] = Account.empty(owner)
        self.accounts[place].advance(self.latest)


def owner_of(tenant: str) -> bytes:
    """The name under which a tenant's account is kept."""
    return hashlib.sha256(tenant.encode()).digest()


# --- in plain words ----------------------------------------------------------------------------

BITS_PER_PARAMETER = 4
COMPRESSION = 10


def effective_bits(parameters: int) -> float:
    """The least that must be carried out to have the model: parameters x 4 bits / 10.

    The assumption for security level 3 of RAND 2024, "Securing AI Model Weights": weights
    are quantised to 4 bits and compressed tenfold before they are taken.
    """
    return parameters * BITS_PER_PARAMETER / COMPRESSION


def days_to_carry_out(parameters: int, budget: Budget) -> float:
    """Days until the effective size has left at full budget; infinite when nothing may leave."""
    rate = budget.bits_per_day
    return effective_bits(parameters) / rate if rate else float("inf")


def explain_budget(parameters: int, deployment: Budget, tenant: Budget | None = None) -> str:
    """What the budgets mean for a model of this size, in plain words, for people and records."""
    tenant = deployment.least(tenant)
    return (
        f"Answers may carry {_bits(deployment)}; those of one tenant {_bits(tenant)}. "
        f"The effective size of this model is {effective_bits(parameters):,.0f} bits "
        f"({parameters:,} parameters x 4 bits / 10, after RAND 2024, Securing AI Model Weights, "
        "SL3). Somebody who controls every bit of every answer would need "
        f"{_days(days_to_carry_out(parameters, deployment))} to carry it out at the deployment's "
        f"budget, and {_days(days_to_carry_out(parameters, tenant))} at one tenant's."
    )


def _bits(budget: Budget) -> str:
    if not budget.bits_per_day:
        return "nothing"
    hour, day = budget.hour // GRAINS_PER_BIT, budget.day // GRAINS_PER_BIT
    return f"{hour:,} bits an hour and {day:,} a day"


def _days(days: float) -> str:
    if days == float("inf"):
        return "forever"
    if days < 1 / 24:
        return "less than an hour"
    if days < 2:
        return f"{days * 24:.1f} hours"
    return f"{days:,.1f} days" if days < 730 else f"{days / 365.25:,.1f} years"
