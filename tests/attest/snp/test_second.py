"""What another verifier of SEV-SNP says of the same reports.

tinfoil's (Apache-2.0) knows Genoa and its AMD roots. It is loaded without the client around it,
which needs much that we do not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.verify import Evidence, verify

from .test_genuine import ITEMS, _leaf, _report
from .world import DATA, authorities

GENOA = "azure_genoa_v3_vtpm.json"
RELATED = "coco_kbs_snp_evidence_genoa.json"
"""Of a processor that has Genoa's roots and another model number, which the other does not take."""
SIGNED = 0x2A0
"""Length of what a report's signature covers."""


@pytest.fixture(scope="module")
def second() -> Iterator[Any]:
    """The other verifier's module, loaded by itself."""
    found = importlib.util.find_spec("tinfoil")
    if found is None or found.origin is None:
        pytest.skip("tinfoil is not installed")
    before = set(sys.modules)
    folder = Path(found.origin).parent
    for name, path in (("tinfoil", folder), ("tinfoil.attestation", folder / "attestation")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    yield importlib.import_module("tinfoil.attestation.verify_sev")
    for name in set(sys.modules) - before:
        if name.startswith("tinfoil"):
            del sys.modules[name]


def theirs(second: Any, report: bytes, leaf: bytes) -> bool:
    try:
        parsed = second.Report(report)
        return bool(
            second.verify_attestation(second.CertificateChain.from_report(parsed, leaf), parsed)
        )
    except Exception:  # it raises what its parts raise
        return False


def ours(report: bytes, leaf: bytes, name: str) -> str:
    """The code of our refusal; empty if there is none."""
    item = ITEMS[name]
    granted = {key: value for key, (value, _) in item.concessions.items()}
    evidence = Evidence(report, (leaf, *authorities("Genoa")))
    try:
        verify(evidence, now=item.now, expectations=Expectations(**granted))
    except EvidenceRefused as refused:
        return refused.code
    return ""


pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared evidence is not here")


def test_both_accept_a_genuine_report(second: Any) -> None:
    report, leaf = _report(GENOA), _leaf(GENOA)
    assert theirs(second, report, leaf)
    assert ours(report, leaf, GENOA) == ""


def test_the_other_takes_no_relative_of_genoa(second: Any) -> None:
    report, leaf = _report(RELATED), _leaf(RELATED)
    assert not theirs(second, report, leaf)
    assert ours(report, leaf, RELATED) == ""


def test_both_refuse_an_altered_report(second: Any) -> None:
    report, leaf = _report(GENOA), _leaf(GENOA)
    for position in [*range(0, SIGNED, 7), *range(SIGNED, SIGNED + 48, 5)]:
        altered = bytearray(report)
        altered[position] ^= 0x10
        assert ours(bytes(altered), leaf, GENOA), position
        assert not theirs(second, bytes(altered), leaf), position


def test_both_refuse_another_chip_s_certificate(second: Any) -> None:
    report, leaf = _report(GENOA), _leaf(RELATED)
    assert ours(report, leaf, GENOA)
    assert not theirs(second, report, leaf)


def test_both_refuse_an_altered_certificate(second: Any) -> None:
    report, leaf = _report(GENOA), _leaf(GENOA)
    for position in range(40, len(leaf), 61):
        altered = bytearray(leaf)
        altered[position] ^= 0x10
        assert ours(report, bytes(altered), GENOA), position
        assert not theirs(second, report, bytes(altered)), position
