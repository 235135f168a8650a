"""An amount of every resource in one integer, so that five sums are one addition. Pure.

Each resource has a *lane* of ``LANE`` bits, the first the lowest. Amounts are at most 2**50, so a
lane holds the sum of more of them than can ever be counted (2**44) and its highest bit, the
*guard*, stays clear: additions never carry into the neighbour. A subtraction whose result would be
negative in no lane never borrows either; ``over`` sets the guards beforehand, so that what would
be negative shows as a guard that was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.store.limits import RESOURCES

LANE: Final = 96
_MASK: Final = (1 << LANE) - 1
_ONES: Final = sum(1 << LANE * place for place in range(len(RESOURCES)))
_GUARDS: Final = _ONES << LANE - 1
EVERY_RESOURCE: Final = _GUARDS
"""For ``over``: judge all."""

_NO_LIMIT: Final = 1 << LANE - 2
"""More than any sum."""


def pack(amounts: Sequence[int]) -> int:
    """The amounts of a ``Cost``, none negative, in one integer."""
    requests, read, written, compute, egress = amounts
    return requests | read << LANE | written << 2 * LANE | compute << 3 * LANE | egress << 4 * LANE


def pack_limits(limits: Sequence[int | None]) -> int:
    """One limit a resource; ``None`` sets none."""
    return pack([_NO_LIMIT if limit is None else limit for limit in limits])


def unpack(lanes: int) -> tuple[int, ...]:
    """The amounts, in the order of ``RESOURCES``."""
    return tuple(lanes >> LANE * place & _MASK for place in range(len(RESOURCES)))


def amount(lanes: int, resource: int) -> int:
    """The amount of one resource, by its index in ``RESOURCES``."""
    return lanes >> LANE * resource & _MASK


def wanted(lanes: int) -> int:
    """The guards of the resources of which there is any."""
    return lanes + (_GUARDS - _ONES) & _GUARDS


def over(limits: int, used: int, judged: int) -> int:
    """The guards, among ``judged``, of the resources of which more is used than their limit."""
    return ~((limits | _GUARDS) - used) & judged
