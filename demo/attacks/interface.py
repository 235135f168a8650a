"""What an attack is: a goal, what ought to happen, and a run that reports what did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from demo.stage import Stage

Verdict = Literal["refused", "held", "succeeded", "not tried"]
"""``refused``: the software said no, with a code. ``held``: a wall stood, nothing was gained."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack did.

    ``reason`` is the code of the refusal or the kernel's answer; ``evidence`` one sentence with
    what was seen; ``control`` what shows that the same attack works where nothing stands in its
    way, and ``control_ok`` whether it did. Without its control a refusal proves nothing.
    """

    verdict: Verdict
    reason: str
    evidence: str
    control: str
    control_ok: bool


class Attack(ABC):
    """One attack. ``reasons`` are the codes that count as refused *for the right reason*."""

    name: str
    goal: str
    expected: str
    reasons: frozenset[str] = frozenset()

    @abstractmethod
    def run(self, stage: Stage) -> Outcome:
        """Carry the attack out for real, with its positive control."""

    def defended(self, outcome: Outcome) -> bool:
        """Whether ``outcome`` is the expected one, for the expected reason, and proven."""
        if outcome.verdict == "not tried":
            return True
        stood = outcome.verdict in ("refused", "held") and outcome.control_ok
        return stood and (not self.reasons or outcome.reason in self.reasons)
