"""What every verifier takes and gives.

A verifier is a pure function ``verify(evidence, *, now, ...)`` that walks the numbered list of
checks of its docstring. Each goes through ``Checks.require`` with its own reason code, so that a
reader sees what was checked, a refusal names the one check that failed, and a test can delete any
single check and see whether something notices. The codes, with sentence and remedy, stand in the
verifier's ``reasons`` table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from strongroom.errors import AttestationRefused

Assurance = Literal["HARDWARE", "SOFTWARE-ONLY"]
Claim = bool | int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CertificateDates:
    """A certificate that the verdict rests on: its subject and validity (Unix seconds)."""

    subject: str
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Check:
    """One check that was made: its number in the verifier's list, its code, what was found."""

    number: str
    code: str
    found: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What genuine evidence says; policy decides whether that is enough.

    ``kind`` names the verifier, ``product`` the hardware (``Milan``, ``H100``). ``measurements``
    maps names to lower-case hex (``measurement``, ``mrtd``, ``rtmr0``, ``pcr4``). ``report_data``
    is what the workload bound into the evidence. ``tcb`` holds version numbers or a status,
    ``chip`` the platform's id in hex (empty where masked), ``claims`` all else a policy may judge.
    """

    kind: str
    product: str
    assurance: Assurance
    measurements: Mapping[str, str]
    report_data: bytes
    debug: bool
    tcb: Mapping[str, int | str] = field(default_factory=dict)
    chip: str = ""
    certificates: tuple[CertificateDates, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


class EvidenceRefused(AttestationRefused):
    """One check did not hold: which one, what was found, and which checks held before it.

    ``number`` is empty where the evidence could not be read far enough to make a check.
    """

    def __init__(
        self, reason: Reason, *, number: str = "", found: str = "", made: tuple[Check, ...] = ()
    ) -> None:
        super().__init__(reason.code, reason.sentence, action=reason.action)
        self.number = number
        self.found = found
        self.made = made


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of a verifier's table: stable code, sentence and remedy."""

    code: str
    sentence: str
    action: str


class Checks:
    """The list of checks of one verification, in the order they were made.

    Args:
        reasons: the verifier's table, by code.
    """

    def __init__(self, reasons: Mapping[str, Reason]) -> None:
        self._reasons = reasons
        self._made: list[Check] = []

    def require(self, number: str, code: str, holds: bool, found: str = "") -> None:
        """Note a check that holds; refuse with ``code`` if it does not.

        Args:
            number: the check's number in the verifier's docstring.
            code: a code of the verifier's table, such as ``attest.snp_debug``.
            holds: whether the evidence passes. Only ``True`` passes; a truthy slip does not.
            found: what the evidence says, for the report; never a secret.

        Raises:
            EvidenceRefused: if it does not hold.
        """
        if holds is not True:
            raise EvidenceRefused(self._reasons[code], number=number, found=found, made=self.made)
        self._made.append(Check(number, code, found))

    @property
    def made(self) -> tuple[Check, ...]:
        """The checks that held so far."""
        return tuple(self._made)


def refusal(reasons: Mapping[str, Reason], code: str) -> EvidenceRefused:
    """The error that ``code`` of a verifier's table stands for, where no check could be made."""
    return EvidenceRefused(reasons[code])


def table(*rows: Reason) -> dict[str, Reason]:
    """A verifier's table from its rows.

    Raises:
        ValueError: two rows share a code.
    """
    reasons = {row.code: row for row in rows}
    if len(reasons) != len(rows):
        raise ValueError("two reasons share a code")
    return reasons
