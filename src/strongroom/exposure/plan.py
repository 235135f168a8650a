"""Which cells an audit measures, in which order, and which it does not and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.exposure.interface import Attack, Knows
from strongroom.exposure.ladder import LADDER, Rung
from strongroom.exposure.reasons import refuse
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
        if rung in attack.rungs and subject.kind in attack.applies
        for level in _levels(attack, scale)
    ]


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
