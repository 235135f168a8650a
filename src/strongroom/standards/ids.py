"""Ids of public frameworks as data: (framework, version, id), never a framework's sentences.

``basis`` says how a framework's ids came here:

- ``read`` in its own publication, of the version that is named, compared one by one on 2026-11-24
  (EDPB: on 2026-11-23) with its maintainers' repository or the published text;
- ``copy``, read in a whole copy of the published text that others keep;
- ``secondary``, found in agreeing public projects that cite it, the publication not reached.

What is not certain is not in the list. Whoever compares one changes its basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Basis = Literal["read", "copy", "secondary"]


@dataclass(frozen=True, slots=True)
class Framework:
    """An edition of a publication: short name, version, where it is published, how ids came."""

    name: str
    version: str
    source: str
    basis: Basis


@dataclass(frozen=True, slots=True)
class Id:
    """One id of a framework."""

    framework: str
    version: str
    id: str
    basis: Basis

    def __str__(self) -> str:
        return f"{self.framework}:{self.id}"


_LISTED: Final[tuple[tuple[Framework, str], ...]] = (
    (
        Framework("ATLAS", "5.6.1", "github.com/mitre-atlas/atlas-data", "read"),
        "AML.T0005.001 AML.T0014 AML.T0015 AML.T0018 AML.T0020 AML.T0024 AML.T0024.000 "
        "AML.T0024.001 AML.T0024.002 AML.T0025 AML.T0029 AML.T0034 AML.T0034.000 AML.T0043 "
        "AML.T0043.000 AML.T0043.001 AML.T0054 AML.T0057",
    ),
    (
        Framework("OWASP-LLM", "2025", "genai.owasp.org/llm-top-10", "read"),
        " ".join(f"LLM{number:02d}:2025" for number in range(1, 11)),
    ),
    (
        Framework(
            "OWASP-LLM",
            "2026",
            "github.com/GenAI-Security-Project/GenAI-LLM-Top10 2026/final, as of 2026-07-16",
            "read",
        ),
        " ".join(f"LLM{number:02d}:2026" for number in range(1, 11)),
    ),
    (
        Framework(
            "OWASP-ML", "2023", "owasp.org/www-project-machine-learning-security-top-10", "read"
        ),
        " ".join(f"ML{number:02d}:2023" for number in range(1, 11)),
    ),
    (
        Framework("OWASP-AITG", "1.0", "owasp.org/www-project-ai-testing-guide", "read"),
        "AITG-APP-01 AITG-APP-03 AITG-APP-09 AITG-MOD-01 AITG-MOD-02 AITG-MOD-03 AITG-MOD-04 "
        "AITG-MOD-05 AITG-DAT-01 AITG-DAT-02 AITG-INF-01 AITG-INF-02 AITG-INF-05 AITG-INF-06",
    ),
    (
        Framework(
            "CoSAI-RM", "2026-08-19", "github.com/cosai-oasis/secure-ai-tooling risk-map", "read"
        ),
        "riskAcceleratorAndSystemSideChannels riskAdapterPEFTInjection "
        "riskCovertChannelsInModelOutputs riskDataPoisoning riskDenialOfMLService "
        "riskEconomicDenialOfWallet riskInferredSensitiveData riskModelDeploymentTampering "
        "riskModelEvasion riskModelExfiltration riskModelReverseEngineering "
        "riskModelSourceTampering riskPromptInjection riskSensitiveDataDisclosure",
    ),
    (
        Framework("NIST-AML", "AI 100-2 E2025", "doi.org/10.6028/NIST.AI.100-2e2025", "secondary"),
        "NISTAML.013 NISTAML.022 NISTAML.023 NISTAML.031 NISTAML.032 NISTAML.033",
    ),
    (
        Framework(
            "RAND-SL",
            "RR-A2849-1 (2024)",
            "rand.org/pubs/research_reports/RRA2849-1.html",
            "secondary",
        ),
        "SL1 SL2 SL3 SL4 SL5",
    ),
    (Framework("EDPB", "28/2024", "edpb.europa.eu", "read"), "28/2024"),
    (
        Framework(
            "GPAI-CoP",
            "2025-07-10, safety and security",
            "ec.europa.eu/newsroom/dae/redirection/document/118119",
            "copy",
        ),
        "Commitment-6 Measure-6.1 Measure-6.2",
    ),
)

FRAMEWORKS: Final = tuple(framework for framework, _ in _LISTED)
"""Every edition that ids are listed of."""

IDS: Final[dict[str, Id]] = {
    str(found): found
    for framework, listed in _LISTED
    for each in listed.split()
    for found in (Id(framework.name, framework.version, each, framework.basis),)
}
"""Every id by ``framework:id``."""
