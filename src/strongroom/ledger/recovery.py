"""What the requests in a log cost: how budgets are found again after a restart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from strongroom.ledger.entries import Recorded, RequestFinal, RequestIntent


class Charge(NamedTuple):
    """What one request is charged, at the time of its intent (Unix ms).

    ``settled`` is false where no final record exists: then ``cost`` is all that was reserved.
    """

    request: str
    at: int
    organisation: str
    key_id: str
    model: str
    cost: dict[str, int]
    settled: bool


def charges(records: Iterable[Recorded]) -> Iterator[Charge]:
    """Each request's charge: those with a final record in its order, then those without.

    A final record counts once and only after its intent; the memory needed is that of the requests
    in flight.
    """
    open_intents: dict[str, tuple[int, RequestIntent]] = {}
    for recorded in records:
        entry = recorded.entry
        if isinstance(entry, RequestIntent):
            open_intents[entry.request] = (recorded.at, entry)
        elif isinstance(entry, RequestFinal) and entry.request in open_intents:
            at, intent = open_intents.pop(entry.request)
            yield _charge(at, intent, entry.settled, settled=True)
    for at, intent in open_intents.values():
        yield _charge(at, intent, intent.reserved, settled=False)


def sums(
    found: Iterable[Charge], window_seconds: int | None = None
) -> dict[tuple[str, int], dict[str, int]]:
    """Charges added up: (organisation, start of the window in Unix seconds) to amounts.

    Args:
        found: the charges.
        window_seconds: length of the windows, which begin at multiples of it; None is one window
            over all time, with the start 0.
    """
    totals: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for charge in found:
        seconds = charge.at // 1000
        start = seconds - seconds % window_seconds if window_seconds else 0
        total = totals[charge.organisation, start]
        for resource, amount in charge.cost.items():
            total[resource] += amount
    return {subject: dict(total) for subject, total in totals.items()}


def _charge(at: int, intent: RequestIntent, cost: dict[str, int], *, settled: bool) -> Charge:
    return Charge(
        intent.request, at, intent.organisation, intent.key_id, intent.model, cost, settled
    )
