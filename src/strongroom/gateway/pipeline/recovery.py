"""At a start: what the record says was spent goes back into the counters, and what a dead process
left under way is charged at its worst and closed in the record as ``lost``.
"""

from __future__ import annotations

from strongroom.gateway.pipeline.meter import parts
from strongroom.ledger.entries import RequestFinal
from strongroom.ledger.recovery import Charge, charges
from strongroom.ledger.writer import LogWriter
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.limits import Cost, SubjectKind


async def recover(log: LogWriter, counters: Counters) -> int:
    """Bring counters and record in step; call it before anything is served.

    Returns:
        How many requests had been left under way.
    """
    lost = []
    for charge in charges(log.records()):
        if isinstance(counters, MemoryCounters):
            payers: list[tuple[SubjectKind, str]] = [
                ("organisation", charge.organisation),
                ("key", charge.key_id),
            ]
            counters.replay(payers, Cost(**charge.cost), charge.at * 1000)
        if not charge.settled:
            lost.append(charge)
    for charge in lost:
        await _give_back(counters, charge)
        entry = RequestFinal(
            request=charge.request, outcome="lost", settled=charge.cost, code="gateway.lost"
        )
        await log.append(entry)
    return len(lost)


async def _give_back(counters: Counters, charge: Charge) -> None:
    """In counters that outlive a gateway: spend what was held."""
    itself, rest = parts(charge.request)
    await counters.settle(itself, Cost(requests=1), final=True)
    await counters.settle(rest, Cost(**charge.cost)._replace(requests=0), final=True)
