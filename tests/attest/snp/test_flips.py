"""Every byte of report, certificates and revocation list, flipped once: all are refused.

The bit that is flipped walks with the position, so that every bit of a byte gets its turn.
"""

from __future__ import annotations

from base64 import encodebytes

import pytest

from strongroom.attest import certificates as x509
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.verify import Evidence, verify
from tests.attest.simulated import amd

from .test_genuine import ITEMS
from .world import code_of, expectations, for_cloud


def flips(raw: bytes) -> list[bytes]:
    return [raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :] for at in range(len(raw))]


def survivors(case: amd.Case, expected: Expectations, part: str) -> list[int]:
    """The positions whose flip in this part of the evidence went unnoticed."""
    if part == "report":
        altered = [case.but(report=raw) for raw in flips(case.report)]
    elif part == "crl":
        altered = [case.but(crls=(raw,)) for raw in flips(case.crls[0])]
    else:
        at, chain = int(part), list(case.certificates)
        altered = [
            case.but(certificates=(*chain[:at], raw, *chain[at + 1 :])) for raw in flips(chain[at])
        ]
    return [at for at, flipped in enumerate(altered) if code_of(flipped, expected) == ""]


@pytest.mark.parametrize("part", ["report", "0", "1", "2", "crl"])
@pytest.mark.parametrize("product", amd.PRODUCTS)
def test_every_byte_of_a_chip_s_evidence(product: str, part: str) -> None:
    case = amd.good(product).but(crls=(amd.load(product, "crl"),))
    # Nothing but what the evidence itself shows may notice the flip.
    lenient = Expectations(products=frozenset({product}))
    assert code_of(case, lenient) == ""
    assert survivors(case, lenient, part) == []


@pytest.mark.parametrize("part", ["report", "0", "1"])
def test_every_byte_of_a_cloud_s_evidence(part: str) -> None:
    case = amd.good("Genoa", "VLEK")
    lenient = for_cloud("Genoa", report_data=None, measurements=None, host_data=None)
    assert code_of(case, lenient) == ""
    assert survivors(case, lenient, part) == []


@pytest.mark.parametrize("name", ["milan v2", "milan vlek", "coco_kbs_snp_evidence_genoa.json"])
def test_every_byte_of_a_genuine_report_and_its_certificate(name: str) -> None:
    item = ITEMS[name]
    genuine = item.evidence()
    expected = Expectations(**{n: value for n, (value, _) in item.concessions.items()})
    key, *rest = genuine.certificates
    altered = [Evidence(raw, genuine.certificates) for raw in flips(genuine.report)]
    altered += [Evidence(genuine.report, (raw, *rest)) for raw in flips(key)]
    assert verify(genuine, now=item.now, expectations=expected).kind == "snp"
    for at, evidence in enumerate(altered):
        try:
            verify(evidence, now=item.now, expectations=expected)
        except EvidenceRefused:
            continue
        pytest.fail(f"byte {at} was not noticed")


def test_pem_is_read_to_one_der_or_refused() -> None:
    """A changed byte of PEM is refused, or proven to be the same certificate."""
    der = amd.load("Turin", "vcek")
    pem = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
    assert x509.read_pem(pem) == (der,)
    other = set()
    for raw in flips(pem):
        try:
            (found,) = x509.read_pem(raw)
        except ValueError:
            continue
        if found != der:
            other.add(found)
    case = amd.good("Turin")
    for found in other:
        altered = case.but(certificates=(found, *case.certificates[1:]))
        assert code_of(altered, expectations("Turin")) != ""
    assert other, "a letter of base64 became another letter"
