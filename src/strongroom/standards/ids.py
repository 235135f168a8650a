"""Ids of public frameworks as data: (framework, version, id), never a framework's sentences.

``basis`` says how an id came here: ``read`` in the framework's own publication, or ``secondary``,
found in agreeing public projects that cite it, or known to the authors, and not yet compared with
the publication. What is not certain is not in the list. Whoever compares one changes its basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Basis = Literal["read", "secondary"]


@dataclass(frozen=True, slots=True)
class Framework:
    """A publication: short name, version, and where it is published."""

    name: str
    version: str
    source: str


@dataclass(frozen=True, slots=True)
class Id:
    """One id of a framework."""

    framework: str
    version: str
    id: str
    basis: Basis = "secondary"

    def __str__(self) -> str:
        return f"{self.framework}:{self.id}"


FRAMEWORKS: Final = {
    each.name: each
    for each in (
        Framework("ATLAS", "5", "atlas.mitre.org"),
        Framework("OWASP-LLM", "2025", "genai.owasp.org/llm-top-10"),
        Framework("OWASP-ML", "2023", "owasp.org/www-project-machine-learning-security-top-10"),
        Framework("NIST-AML", "AI 100-2 E2025", "doi.org/10.6028/NIST.AI.100-2e2025"),
        Framework("RAND-SL", "RR-A2849-1 (2024)", "rand.org/pubs/research_reports/RRA2849-1.html"),
        Framework("EDPB", "28/2024", "edpb.europa.eu"),
        Framework("GPAI-CoP", "2025, safety and security chapter", "code-of-practice.ai"),
    )
}

_LISTED: Final = {
    "ATLAS": (
        "AML.T0014 AML.T0015 AML.T0018 AML.T0020 AML.T0024 AML.T0024.000 AML.T0024.001 "
        "AML.T0024.002 AML.T0025 AML.T0029 AML.T0034 AML.T0043 AML.T0043.000 AML.T0043.001 "
        "AML.T0054 AML.T0057"
    ),
    "OWASP-LLM": " ".join(f"LLM{number:02d}:2025" for number in range(1, 11)),
    "OWASP-ML": " ".join(f"ML{number:02d}:2023" for number in range(1, 11)),
    "NIST-AML": "NISTAML.013 NISTAML.022 NISTAML.023 NISTAML.031 NISTAML.032 NISTAML.033",
    "RAND-SL": "SL1 SL2 SL3 SL4 SL5",
    "EDPB": "28/2024",
    "GPAI-CoP": "Commitment-6",
}

IDS: Final[dict[str, Id]] = {
    str(found): found
    for name, listed in _LISTED.items()
    for each in listed.split()
    for found in (Id(name, FRAMEWORKS[name].version, each),)
}
"""Every id by ``framework:id``. CoSAI and the OWASP AI Testing Guide have none here: no id of
theirs was certain."""
