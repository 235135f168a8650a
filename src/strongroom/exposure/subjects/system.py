"""A model with the system around it: the places from which that is attacked.

A place has one narrow target and the attacks that use it. What another tenant did in each round of
a timing attack is drawn here: the target plays it, the judge holds it, the attack sees neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from strongroom.exposure.interface import Attack, Budget, Knowledge, Knows
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.ladder import LADDER, Rung
from strongroom.exposure.subjects.interface import Opener, Subject


class Place(Subject):
    """See the module.

    Args:
        kind: of the model.
        rung: at which the place is shown.
        opener: of the target.
        judges: by the name of the attack that they judge.
        served: whether the target is the served door.
        public: what everybody knows of the model.
    """

    def __init__(
        self,
        kind: str,
        rung: Rung,
        opener: Opener,
        judges: Mapping[str, Callable[[], Judge]],
        *,
        served: bool = True,
        public: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.rungs = (rung,)
        self.served = {rung: opener} if served else {}
        self._opener = opener
        self._judges = dict(judges)
        self._public = dict(public or {})

    def at(self, attack: Attack) -> Subject | None:
        """Itself, if the attack is made from here."""
        return self if attack.name in self._judges else None

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """See the base."""
        return self._opener(budget)

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base: nothing but what is public."""
        return Knowledge(level, public=self._public)

    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """See the base."""
        return self._judges[attack.name]()

    def facts(self) -> dict[str, str]:
        """See the base: the model's own subject says them."""
        return {}


class Whole(Subject):
    """A model and its places as one subject.

    Args:
        model: asked about all attacks that are not on the system.
        places: asked about the others.
    """

    def __init__(self, model: Subject, places: Sequence[Place]) -> None:
        self._model = model
        self._places = tuple(places)
        self.kind = model.kind
        self.served = dict(model.served)
        had = {rung for each in (model, *places) for rung in each.rungs}
        self.rungs = tuple(rung for rung in LADDER if rung in had)

    def at(self, attack: Attack) -> Subject | None:
        """The model, or the place from which the attack is made, if there is one."""
        if not attack.system:
            return self._model.at(attack)
        return next((found for each in self._places if (found := each.at(attack))), None)

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """See the base."""
        return self._model.in_process(rung, budget)

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base."""
        return self._model.knowledge(attack, level, seed)

    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """See the base."""
        return self._model.judge(attack, level, seed)

    def facts(self) -> dict[str, str]:
        """See the base."""
        return self._model.facts()


def balanced(rounds: int, seed: int) -> list[bool]:
    """What the other tenant does: half of each ten rounds, in a random order.

    So the first rounds have as many of either sort, however many an attack plays.
    """
    chance, found = np.random.default_rng(seed), list[bool]()
    while len(found) < rounds:
        found += chance.permutation(np.arange(10) % 2 == 0).tolist()
    return found[:rounds]
