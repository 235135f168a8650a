"""The result of one attack at one rung: what was gained, against what null, how sure, at what cost.

Everything that a report says comes from here. Values are plain, so that they can be written as
JSON, signed and compared.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["measured", "not_measurable", "refused", "unknown", "not_run"]
"""``measured``: there is a headline. ``not_measurable``: too few records for the statistic.
``refused``: the measurement would mislead (say, a blind baseline separates the split).
``unknown``: what the attack needs was not given. ``not_run``: left out by choice or by time."""

Severity = Literal["critical", "high", "medium", "low", "none", "unknown"]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A two-sided confidence interval."""

    low: float
    high: float
    level: float = 0.95

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in it."""
        return self.low <= value <= self.high


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with its interval. ``n``: independent observations; ``method``: how it was made."""

    value: float
    interval: Interval
    n: int
    method: str


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One metric beside its null: the same attack on what cannot leak."""

    metric: str
    measured: Estimate
    null: Estimate
    p_value: float = 1.0
    """That the null alone gives as much; Holm's correction over the matrix is in the matrix."""


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The headline metric after ``queries`` queries."""

    queries: int
    measured: Estimate


class RocPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of a receiver operating characteristic."""

    fpr: float
    tpr: float


class RecordRisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one record or canary risks: ``index`` in the owner's data, ``risk`` from 0 to 1."""

    index: int
    risk: float
    member: bool


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the target counted. ``refusals``: answers refused, by code; ``seconds``: wall time.

    ``stopped``: the code of the refusal after which nothing more was answered, if there was one.
    """

    queries: int = 0
    tokens: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    refusals: dict[str, int] = msgspec.field(default_factory=dict)
    stopped: str = ""


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Attack x rung. ``figures[0]`` is the headline, where there is one."""

    attack: str
    family: str
    goal: str
    rung: str
    knowledge: str
    status: Status
    why: str = ""
    """Why not measured, or what the figure does not show; one sentence."""
    sentence: str = ""
    """The headline in the attacker's terms."""
    figures: tuple[Figure, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    roc: tuple[RocPoint, ...] = ()
    records: tuple[RecordRisk, ...] = ()
    spent: Spent = Spent()
    served: bool = False
    """Whether it ran through the served door."""
    severity: Severity = "unknown"
    seeds: tuple[int, ...] = ()
    taxonomy: tuple[str, ...] = ()
    source: str = ""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    command: str = ""
    """Runs this cell again."""
    call: str = ""
    """``repr`` of the attack."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What names a cell in a matrix."""
        return self.attack, self.rung, self.knowledge

    @property
    def headline(self) -> Figure | None:
        """The first figure."""
        return self.figures[0] if self.figures else None
