"""Which cells an audit measures, in which order, and which it does not and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from strongroom.exposure.interface import Attack, Knows
from strongroom.exposure.ladder import LADDER, Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.results import Omitted
from strongroom.exposure.subjects.interface import Scale, Subject

_STRENGTH = (Knows.NOTHING, Knows.DATA, Knows.BASE, Knows.RECIPE)


@dataclass(frozen=True)
class Planned:
    """One cell to come."""

    attack: Attack
    rung: Rung
    level: Knows

    @property
    def key(self) -> tuple[str, str, str]:
        """As that of the cell."""
        return self.attack.name, self.rung.value, self.level.value


def plan(
    subject: Subject, attacks: Sequence[Attack], rungs: Sequence[Rung], scale: Scale
) -> list[Planned]:
    """The cells, rung by rung from least to most, so that what is served comes first."""
    wanted = [rung for rung in subject.rungs if not rungs or rung in rungs]
    return [
        Planned(attack, rung, level)
        for rung in wanted
        for attack in attacks
        if rung in _rungs_of(subject, attack) and _fits(attack, rung, scale)
        for level in _levels(attack, scale)
    ]


def _fits(attack: Attack, rung: Rung, scale: Scale) -> bool:
    """Whether this budget is enough for the attack at ``rung``."""
    return scale.all_knowledge or attack.quick is None or rung in attack.quick


def _rungs_of(subject: Subject, attack: Attack) -> list[Rung]:
    """Where ``attack`` can be made on ``subject``."""
    where = subject.at(attack)
    if where is None or where.kind not in attack.applies:
        return []
    return [rung for rung in where.rungs if rung in attack.rungs]


def omitted(
    subject: Subject, every: Sequence[Attack], planned: Sequence[Planned], rungs: Sequence[Rung]
) -> list[Omitted]:
    """What ``every`` attack could measure of the subject and the plan leaves out, and why."""
    keys = {each.key for each in planned}
    names = {each.attack.name for each in planned}
    whole = [
        Planned(attack, rung, level)
        for attack in every
        for rung in _rungs_of(subject, attack)
        for level in sorted(attack.knowledge, key=_STRENGTH.index)
    ]
    return [
        Omitted(*each.key, why=_why(each, names, rungs)) for each in whole if each.key not in keys
    ]


def _why(left: Planned, names: Collection[str], rungs: Sequence[Rung]) -> str:
    if rungs and left.rung not in rungs:
        return "Left out by --rungs"
    if left.attack.name not in names:
        return "Left out by --attacks"
    if left.attack.quick is not None and left.rung not in left.attack.quick:
        return "Left to --budget standard: this budget is too small for it"
    return "This budget measures the strongest knowledge of each attack only"


def rungs_named(names: Sequence[str]) -> tuple[Rung, ...]:
    """The rungs of these names.

    Raises:
        ExposureRefused: ``exposure.unknown_rung``.
    """
    for name in names:
        if name not in {rung.value for rung in LADDER}:
            raise refuse("exposure.unknown_rung", name=name, known=", ".join(LADDER))
    return tuple(Rung(name) for name in names)


def _levels(attack: Attack, scale: Scale) -> tuple[Knows, ...]:
    """All states of knowledge, or the strongest that the attack can use."""
    ordered = tuple(sorted(attack.knowledge, key=_STRENGTH.index))
    return ordered if scale.all_knowledge else ordered[-1:]
