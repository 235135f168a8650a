"""Run a plan: one cell after the other, each kept when it is done.

An attack that the door stops is a result. What cannot be measured says why; nothing that was not
measured is ever shown as good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from strongroom.errors import ExposureRefused
from strongroom.exposure.cell import Cell, Spent
from strongroom.exposure.plan import Planned
from strongroom.exposure.reasons import stops
from strongroom.exposure.resume import Journal
from strongroom.exposure.subjects.interface import Scale, Subject

Progress = Callable[[int, int, str], None]
"""Called with cells done, cells in all, and what comes next."""

_ENDS = {
    "exposure.endpoint_failed",
    "exposure.not_yours",
    "exposure.server_failed",
    "exposure.target_gone",
}
"""Refusals after which going on makes no sense; what was measured is kept."""


def run(
    subject: Subject,
    planned: Sequence[Planned],
    scale: Scale,
    *,
    seed: int,
    command: str,
    versions: Mapping[str, str],
    journal: Journal,
    progress: Progress | None = None,
) -> list[Cell]:
    """The cells of the plan, in its order; those in the journal are not measured again.

    Raises:
        ExposureRefused: the target has gone; finished cells are in the journal.
    """
    finished = journal.finished()
    cells = []
    for number, each in enumerate(planned):
        cell = finished.get(each.key)
        if cell is None:
            if progress is not None:
                progress(number, len(planned), f"{each.attack.name} at {each.rung}")
            cell = measure(subject, each, scale, seed=seed, command=command, versions=versions)
            journal.keep(cell)
        cells.append(cell)
    if progress is not None:
        progress(len(planned), len(planned), "done")
    return cells


def measure(
    subject: Subject,
    planned: Planned,
    scale: Scale,
    *,
    seed: int,
    command: str,
    versions: Mapping[str, str],
) -> Cell:
    """One cell.

    Raises:
        ExposureRefused: the target has gone.
    """
    attack, rung, level = planned.attack, planned.rung, planned.level
    subject = subject.at(attack) or subject
    blank = Cell(
        attack=attack.name,
        family=attack.family.value,
        goal=attack.goal,
        rung=rung.value,
        knowledge=level.value,
        status="unknown",
        seeds=(seed,),
        taxonomy=attack.taxonomy,
        source=attack.source,
        versions=dict(versions),
        command=f"{command} --attacks {attack.name} --rungs {rung.value}",
        call=repr(attack),
        served=rung in subject.served,
    )
    began, target = time.monotonic(), None
    try:
        knowledge = subject.knowledge(attack, level, seed)
        target, _ = subject.target(rung, scale.budget)
        claims = attack.run(target, knowledge, scale.budget, seed)
        verdict = subject.judge(attack, level, seed).judge(claims)
        found = {name: getattr(verdict, name) for name in verdict.__struct_fields__}
        if not found["why"] and not claims:
            found["why"] = "The attack made no claim."
    except ExposureRefused as error:
        if error.code in _ENDS:
            raise
        status = "not_measurable" if stops(error) else "unknown"
        found = {"status": status, "why": f"{error.message} [{error.code}]"}
    except Exception as error:  # one attack's defect must not cost the others' results
        found = {"status": "unknown", "why": f"The attack failed: {type(error).__name__}: {error}"}
    spent = target.spent() if target is not None else Spent()
    if spent.stopped and found["status"] == "measured":
        before = f"{found['why'].rstrip('.')}. " if found["why"] else ""
        found["why"] = before + _cut_short(spent)
    took = msgspec.structs.replace(spent, seconds=round(time.monotonic() - began, 3))
    return msgspec.structs.replace(blank, spent=took, **found)


def _cut_short(spent: Spent) -> str:
    return (
        f"The target answered no more after {spent.queries:,} queries [{spent.stopped}]: "
        "the figure is what the attack had by then."
    )
