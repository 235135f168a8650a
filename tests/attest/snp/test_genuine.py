"""Genuine reports: each is accepted under the policy that it deserves, and no stricter one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import pytest

from strongroom.attest.interface import EvidenceRefused, Facts
from strongroom.attest.snp.endorsement import read_endorsement
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.products import ROOTS
from strongroom.attest.snp.verify import Evidence, verify
from tests.attest.simulated import amd

from .world import authorities, from_fields, genuine, json_of, leaf_of

IN_2025 = 1_750_000_000
IN_2026 = 1_784_000_000
MILAN = frozenset({"Milan"})


@dataclass(frozen=True)
class Item:
    """A genuine report, the least policy that accepts it, and what each concession is for."""

    report: str
    leaf: str
    product: str
    kind: str = "VCEK"
    now: int = IN_2025
    concessions: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        return Evidence(
            _report(self.report), (_leaf(self.leaf), *authorities(self.product, self.kind))
        )

    def verify(self, **changes: Any) -> Facts:
        granted = {name: value for name, (value, _) in self.concessions.items()}
        expected = Expectations(**{**granted, **changes})
        return verify(self.evidence(), now=self.now, expectations=expected)


def _report(name: str) -> bytes:
    if name.startswith("azure"):
        document = json_of(name)
        raw = (
            leaf_of(document["hcl_report"])
            if "hcl_report" in document
            else bytes(document["report"])
        )
        return raw[32 : 32 + 1184]
    if name.startswith("coco"):
        return from_fields(json_of(name))
    if name.startswith("dstack"):
        raw = genuine(name)
        return raw[4 : 4 + 1184]  # behind the wrapper of four bytes
    return genuine(name)


def _leaf(name: str) -> bytes:
    if name.startswith("azure") and name.endswith("json"):
        return leaf_of(json_of(name)["vcek"])
    if name.startswith("coco"):
        return bytes(json_of(name)["cert_chain"][0]["data"])
    return leaf_of(genuine(name)) if name.endswith("pem") else genuine(name)


SMT = {"allow_smt": (True, "attest.snp_smt")}
V2 = {"require_alias_check": (False, "attest.snp_alias_check")}
OLD = {"products": (MILAN, "attest.snp_product_choice")}
PROVISIONAL = {"allow_provisional_firmware": (True, "attest.snp_provisional")}
CLOUD = {
    "signing_keys": (frozenset({"VLEK"}), "attest.snp_key_choice"),
    "vmpls": (frozenset({1}), "attest.snp_vmpl"),
}

GENOA, MILAN_TODAY = {**SMT}, {**OLD, **SMT}
ITEMS = {
    "milan v2": Item(
        "milan_v2_report.bin",
        "milan_v2_vcek.der",
        "Milan",
        concessions={**OLD, **SMT, **V2, **PROVISIONAL},
    ),
    "milan vlek": Item(
        "milan_vlek_report.bin",
        "milan_vlek.der",
        "Milan",
        "VLEK",
        concessions={**OLD, **SMT, **CLOUD, **PROVISIONAL},
    ),
    **{
        name: Item(name, name, product, concessions=concessions)
        for name, product, concessions in (
            ("azure_genoa_v3_vtpm.json", "Genoa", GENOA),
            ("azure_milan_v3_vtpm_1.json", "Milan", MILAN_TODAY),
            ("azure_v3_vtpm_0.json", "Milan", MILAN_TODAY),
            ("coco_kbs_snp_evidence_genoa.json", "Genoa", GENOA),
        )
    },
    "dstack milan": Item(
        "dstack_milan_v3_attestation.bin",
        "dstack_milan_vcek.pem",
        "Milan",
        now=IN_2026,
        concessions=MILAN_TODAY,
    ),
}


@pytest.fixture(params=ITEMS)
def item(request: pytest.FixtureRequest) -> Item:
    return ITEMS[request.param]


def test_a_genuine_report_is_accepted(item: Item) -> None:
    facts = item.verify()
    assert (facts.kind, facts.product, facts.assurance) == ("snp", item.product, "HARDWARE")
    assert not facts.debug
    assert bool(facts.chip) == (item.kind == "VCEK")
    assert len(facts.certificates) == 3


def test_each_concession_is_needed(item: Item) -> None:
    """Without any one of them the report is refused, for the reason it was made."""
    for name, (_, code) in item.concessions.items():
        with pytest.raises(EvidenceRefused) as refused:
            item.verify(**{name: getattr(Expectations(), name)})
        assert refused.value.code == code


def test_a_cloud_key_that_expired_is_refused_today() -> None:
    expired = replace(ITEMS["milan vlek"], now=IN_2026)
    with pytest.raises(EvidenceRefused) as refused:
        expired.verify()
    assert refused.value.code == "attest.snp_validity"


def test_debug_is_refused_whatever_the_owner_accepts() -> None:
    item = Item("milan_v2_DEBUG_report.bin", "milan_v2_DEBUG_vcek.der", "Milan")
    with pytest.raises(EvidenceRefused) as refused:
        item.verify(products=MILAN, allow_smt=True, require_alias_check=False)
    assert refused.value.code == "attest.snp_debug"
    assert refused.value.made[-1].code == "attest.snp_policy_unknown", "all before it held"


@pytest.mark.parametrize("leaf", ["invalid_vcek_legacy.der", "invalid_vcek_new.der"])
def test_altered_certificates_are_refused(leaf: str) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        Item("milan_v2_report.bin", leaf, "Milan").verify()
    assert refused.value.code == "attest.snp_key_signature"


def test_the_only_genuine_turin_certificate_leads_to_its_root() -> None:
    """No Turin report was found; its certificate is read, and trusted up to the report."""
    evidence = Evidence(
        amd.Fields("Turin").report(), (genuine("turin_vcek.der"), *authorities("Turin"))
    )
    with pytest.raises(EvidenceRefused) as refused:
        verify(evidence, now=IN_2025, expectations=Expectations())
    assert refused.value.code == "attest.snp_signature"
    endorsement = read_endorsement(genuine("turin_vcek.der"))
    assert endorsement.hwid is not None
    assert (len(endorsement.hwid), endorsement.tcb.hex()) == (8, "0000000000000009")


def test_the_pinned_roots_are_those_of_the_bundles() -> None:
    for product, pinned in ROOTS.items():
        assert sha256(authorities(product)[1]).hexdigest() == pinned


def test_chains_of_two_products_do_not_mix() -> None:
    item = ITEMS["coco_kbs_snp_evidence_genoa.json"]
    evidence = item.evidence()
    mixed = Evidence(evidence.report, (evidence.certificates[0], *authorities("Milan")))
    with pytest.raises(EvidenceRefused) as refused:
        verify(mixed, now=item.now, expectations=Expectations(allow_smt=True))
    assert refused.value.code == "attest.snp_root"
