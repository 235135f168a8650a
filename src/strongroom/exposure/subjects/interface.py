"""A subject: everything of an audit that depends on the kind of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from strongroom.exposure.interface import Attack, Budget, Knowledge, Knows
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.ladder import Rung

Opener = Callable[[Budget], Any]
"""Opens a target of one rung at the served door."""


@dataclass(frozen=True)
class Scale:
    """How much of everything an audit of this size takes.

    ``queries`` and ``seconds`` are an attack's; ``points`` its curve; ``records`` the members that
    are asked about, beside as many others; ``references`` the shadow models; ``all_knowledge``
    whether every state of knowledge is measured or the strongest only.
    """

    name: str
    queries: int
    seconds: float
    points: tuple[int, ...]
    records: int
    references: int
    all_knowledge: bool

    @property
    def budget(self) -> Budget:
        """Of one attack."""
        return Budget(self.queries, self.seconds, self.points)


SCALES = {
    scale.name: scale
    for scale in (
        Scale("quick", 20_000, 30.0, (100, 400, 1600), 600, 16, False),
        Scale("standard", 100_000, 300.0, (100, 400, 1600, 6400), 3000, 32, True),
        Scale("deep", 1_000_000, 1800.0, (100, 400, 1600, 6400, 25_600), 10_000, 64, True),
    )
}


class Subject(ABC):
    """One model under audit.

    Attributes:
        kind: ``classifier`` or ``causal-lm``.
        rungs: those that this kind of model has, least first.
        served: how the door is reached at the rungs that somebody is granted.
    """

    kind: str
    rungs: tuple[Rung, ...]
    served: dict[Rung, Opener]

    def at(self, attack: Attack) -> Subject | None:
        """Who is asked for target, knowledge and judge of ``attack``; None where nobody can be."""
        return None if attack.system else self

    def target(self, rung: Rung, budget: Budget) -> tuple[Any, bool]:
        """A target of ``rung``, and whether it is behind the served door."""
        if rung in self.served:
            return self.served[rung](budget), True
        return self.in_process(rung, budget), False

    @abstractmethod
    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """A closed target of ``rung`` in this process."""

    @abstractmethod
    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """What the attacker has at ``level``.

        Raises:
            ExposureRefused: ``exposure.knowledge_lacking`` where the owner's data do not give it.
        """

    @abstractmethod
    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """Who judges ``attack``; the same error."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What a report says of model and data, by name."""
