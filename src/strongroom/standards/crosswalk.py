"""From a threat to public ids, to controls, to our state.

Grades: ``measured`` (the audit puts a figure to it), ``verified`` (a test holds it), ``declared``
(the documentation says so), ``unknown`` (nobody has shown it). Whoever a control is met by is
``strongroom``, the ``operator``, or ``not met``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Grade = Literal["measured", "verified", "declared", "unknown"]
MetBy = Literal["strongroom", "operator", "not met"]


@dataclass(frozen=True, slots=True)
class Control:
    """A control and the page of ``docs`` that describes it."""

    name: str
    page: str
    met_by: MetBy
    grade: Grade


@dataclass(frozen=True, slots=True)
class Threat:
    """A threat, the families of attacks that measure it, its public ids, what answers it."""

    name: str
    families: tuple[str, ...]
    ids: tuple[str, ...]
    controls: tuple[Control, ...]


_RUNG = Control("a sealed disclosure policy", "concepts.md", "strongroom", "measured")
_BUDGET = Control("budgets of an organisation", "limits.md", "operator", "measured")
_DETECTION = Control("detection of copying", "detection.md", "strongroom", "measured")
_EGRESS = Control("the egress meter", "egress.md", "strongroom", "measured")
_SEAL = Control("the sealed model", "concepts.md", "strongroom", "measured")
_PATROL = Control("the patrol of weights in memory", "integrity.md", "strongroom", "measured")
_ADAPTERS = Control("the gate of adapters", "adapter-export.md", "strongroom", "measured")
_LOCKDOWN = Control("the keeper's lock-down", "lockdown.md", "strongroom", "verified")
_RECORD = Control("the record", "record.md", "strongroom", "verified")

CROSSWALK: Final[tuple[Threat, ...]] = (
    Threat(
        "training data are recognised",
        ("membership",),
        (
            "ATLAS:AML.T0024.000",
            "OWASP-ML:ML04:2023",
            "OWASP-LLM:LLM02:2025",
            "OWASP-LLM:LLM02:2026",
            "OWASP-AITG:AITG-MOD-04",
            "CoSAI-RM:riskInferredSensitiveData",
            "NIST-AML:NISTAML.033",
            "EDPB:28/2024",
        ),
        (
            _RUNG,
            _BUDGET,
            Control("training with differential privacy", "LIMITATIONS.md", "not met", "unknown"),
        ),
    ),
    Threat(
        "training data are reconstructed or extracted",
        ("inversion", "extraction"),
        (
            "ATLAS:AML.T0024.001",
            "ATLAS:AML.T0057",
            "OWASP-ML:ML03:2023",
            "OWASP-LLM:LLM02:2025",
            "OWASP-LLM:LLM02:2026",
            "OWASP-LLM:LLM08:2025",
            "OWASP-LLM:LLM09:2026",
            "OWASP-AITG:AITG-MOD-05",
            "OWASP-AITG:AITG-APP-03",
            "OWASP-AITG:AITG-DAT-01",
            "CoSAI-RM:riskSensitiveDataDisclosure",
            "NIST-AML:NISTAML.032",
            "EDPB:28/2024",
        ),
        (_RUNG, _BUDGET),
    ),
    Threat(
        "the model is copied through its answers",
        ("cloning", "reverse engineering"),
        (
            "ATLAS:AML.T0024.002",
            "ATLAS:AML.T0005.001",
            "ATLAS:AML.T0014",
            "OWASP-ML:ML05:2023",
            "OWASP-LLM:LLM10:2025",
            "OWASP-LLM:LLM06:2026",
            "OWASP-AITG:AITG-APP-09",
            "CoSAI-RM:riskModelReverseEngineering",
            "NIST-AML:NISTAML.031",
            "RAND-SL:SL2",
        ),
        (_BUDGET, _DETECTION, _RUNG),
    ),
    Threat(
        "the weights leave",
        ("base from adapters",),
        (
            "ATLAS:AML.T0025",
            "OWASP-AITG:AITG-INF-06",
            "OWASP-AITG:AITG-DAT-02",
            "CoSAI-RM:riskModelExfiltration",
            "CoSAI-RM:riskCovertChannelsInModelOutputs",
            "CoSAI-RM:riskAcceleratorAndSystemSideChannels",
            "RAND-SL:SL3",
            "GPAI-CoP:Commitment-6",
            "GPAI-CoP:Measure-6.2",
            "OWASP-LLM:LLM03:2025",
            "OWASP-LLM:LLM02:2026",
            "OWASP-LLM:LLM04:2026",
        ),
        (_SEAL, _LOCKDOWN, _EGRESS, _ADAPTERS),
    ),
    Threat(
        "inputs are bent until the answer is wrong",
        ("evasion",),
        (
            "ATLAS:AML.T0015",
            "ATLAS:AML.T0043",
            "ATLAS:AML.T0043.000",
            "ATLAS:AML.T0043.001",
            "OWASP-ML:ML01:2023",
            "OWASP-AITG:AITG-MOD-01",
            "CoSAI-RM:riskModelEvasion",
            "NIST-AML:NISTAML.022",
        ),
        (
            _RUNG,
            _BUDGET,
            Control("adversarial training", "LIMITATIONS.md", "not met", "unknown"),
        ),
    ),
    Threat(
        "a prompt makes the model say what it should not",
        ("targeted output",),
        (
            "ATLAS:AML.T0054",
            "OWASP-LLM:LLM01:2025",
            "OWASP-LLM:LLM01:2026",
            "OWASP-AITG:AITG-APP-01",
            "CoSAI-RM:riskPromptInjection",
        ),
        (Control("the content policy", "content-policy.md", "operator", "declared"), _RECORD),
    ),
    Threat(
        "the model is altered",
        ("tampering",),
        (
            "ATLAS:AML.T0018",
            "ATLAS:AML.T0020",
            "OWASP-ML:ML02:2023",
            "OWASP-ML:ML10:2023",
            "OWASP-AITG:AITG-MOD-02",
            "OWASP-AITG:AITG-MOD-03",
            "OWASP-AITG:AITG-INF-01",
            "OWASP-AITG:AITG-INF-05",
            "CoSAI-RM:riskDataPoisoning",
            "CoSAI-RM:riskModelSourceTampering",
            "CoSAI-RM:riskModelDeploymentTampering",
            "CoSAI-RM:riskAdapterPEFTInjection",
            "OWASP-LLM:LLM04:2025",
            "OWASP-LLM:LLM05:2026",
            "NIST-AML:NISTAML.023",
            "NIST-AML:NISTAML.013",
        ),
        (_SEAL, _PATROL, _ADAPTERS),
    ),
    Threat(
        "the service is burnt or stalled",
        ("abuse",),
        (
            "ATLAS:AML.T0029",
            "ATLAS:AML.T0034",
            "ATLAS:AML.T0034.000",
            "OWASP-LLM:LLM10:2025",
            "OWASP-LLM:LLM06:2026",
            "OWASP-AITG:AITG-INF-02",
            "CoSAI-RM:riskDenialOfMLService",
            "CoSAI-RM:riskEconomicDenialOfWallet",
        ),
        (_BUDGET, _EGRESS, Control("the switch", "operations.md", "strongroom", "verified")),
    ),
)
