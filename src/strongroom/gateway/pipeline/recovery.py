"""At a start: counters and record are brought in step.

1. Into counters that forget, what the record says was spent goes back.
2. What a dead process left under way is charged at its worst, and closed in the record as ``lost``.
3. What it had reserved without an intent in the record was never forwarded: the request itself is
   charged, the rest is free again. Only its own: what other gateways hold bears their names.
"""

from __future__ import annotations

from strongroom.gateway.pipeline.meter import parts
from strongroom.ledger.entries import RequestFinal
from strongroom.ledger.recovery import Charge, charges
from strongroom.ledger.writer import LogWriter
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.limits import Cost, SubjectKind


async def recover(log: LogWriter, counters: Counters, holder: str) -> int:
    """See the module; call it before anything is served.

    Args:
        log: the record of this gateway, which nobody else has open.
        counters: what may be spent.
        holder: the name under which this gateway reserves.

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
        await _give_back(counters, holder, charge)
        entry = RequestFinal(
            request=charge.request, outcome="lost", settled=charge.cost, code="gateway.lost"
        )
        await log.append(entry)
    for name, worst in (await counters.held(f"{holder}:")).items():
        await counters.settle(name, Cost(requests=worst.requests), final=True)
    return len(lost)


async def _give_back(counters: Counters, holder: str, charge: Charge) -> None:
    """In counters that outlive a gateway: spend what was held."""
    itself, rest = parts(holder, charge.request)
    await counters.settle(itself, Cost(requests=1), final=True)
    await counters.settle(rest, Cost(**charge.cost)._replace(requests=0), final=True)
