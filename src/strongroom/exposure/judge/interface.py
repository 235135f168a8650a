"""A judge: claims in, a verdict out. Whoever judges holds the truth, and nobody else does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from strongroom.exposure.cell import CurvePoint, Figure, RecordRisk, RocPoint, Severity, Status
from strongroom.exposure.interface import Claim


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What of a cell comes from the judge; the fields mean the same there."""

    status: Status
    why: str = ""
    sentence: str = ""
    figures: tuple[Figure, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    roc: tuple[RocPoint, ...] = ()
    records: tuple[RecordRisk, ...] = ()
    severity: Severity = "unknown"


def not_measurable(why: str) -> Verdict:
    """Too few observations for the statistic."""
    return Verdict(status="not_measurable", why=why)


class Judge(ABC):
    """One family's judge."""

    @abstractmethod
    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """Metric, null, interval and curve of an attack's claims, smallest budget first.

        Raises:
            TypeError: a claim is not of this judge's kind.
        """


def last_of(claims: Sequence[Claim], kind: type[Claim]) -> None:
    """Check that there are claims and that all are of ``kind``.

    Raises:
        TypeError: they are not.
    """
    if not claims or not all(isinstance(claim, kind) for claim in claims):
        raise TypeError(f"this judge takes claims of kind {kind.__name__}")
