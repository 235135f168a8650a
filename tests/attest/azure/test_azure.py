"""Azure's VMs: genuine evidence, a simulated one with each refusal, and every byte flipped."""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from strongroom.attest.azure.bundled import verify_bundle
from strongroom.attest.azure.expectations import Expectations
from strongroom.attest.azure.verify import Evidence, verify
from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.snp import verify as snp
from strongroom.attest.snp.expectations import Expectations as Snp
from tests.attest.simulated import amd
from tests.attest.snp.world import PINNED, authorities, json_of, leaf_of

IN_2025 = 1_750_000_000
GENUINE = {
    "azure_genoa_v3_vtpm.json": "Genoa",
    "azure_milan_v3_vtpm_1.json": "Milan",
    "azure_v3_vtpm_0.json": "Milan",
}
NONCE = b"nonce of this request"
PCRS = b"".join(sha256(bytes([number])).digest() for number in range(24))


def octets(value: Any) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else bytes(value)


def genuine(name: str) -> tuple[Evidence, Expectations]:
    document, product = json_of(name), GENUINE[name]
    quote = document.get("quote") or document["tpm_quote"]
    report = document.get("report") or document["hcl_report"]
    evidence = Evidence(
        leaf_of(report) if isinstance(report, str) else bytes(report),
        octets(quote["message"]),
        octets(quote["signature"]),
        b"".join(map(octets, quote["pcrs"])),
        (leaf_of(document["vcek"]), *authorities(product)),
    )
    hardware = Snp(products=frozenset({product}), allow_smt=True)  # type: ignore[arg-type]
    return evidence, Expectations(snp=hardware, any_nonce=True, allow_console=True)


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_vm_is_accepted(name: str) -> None:
    evidence, expected = genuine(name)
    facts = verify(evidence, now=IN_2025, expectations=expected)
    assert (facts.kind, facts.product) == ("azure-snp", GENUINE[name])
    assert facts.claims["secure_boot"] is True
    assert facts.claims["tpm.ak_trust"] == "runtime"
    assert len(facts.measurements) == 4 + 24
    numbers = [check.number for check in facts.checks]
    assert numbers.index("1") < numbers.index("2.25") < numbers.index("3") < numbers.index("8.3.3")


def test_a_quote_of_another_vm_is_refused() -> None:
    one, expected = genuine("azure_genoa_v3_vtpm.json")
    other, _ = genuine("azure_milan_v3_vtpm_1.json")
    mixed = replace(one, message=other.message, signature=other.signature, pcrs=other.pcrs)
    assert code_of(mixed, expected, IN_2025, None) == "attest.tpm_signature"


def number(value: int, width: int) -> str:
    return urlsafe_b64encode(value.to_bytes(width, "big")).rstrip(b"=").decode()


def ak_jwk(**changes: Any) -> dict[str, Any]:
    public = amd.rsa_key("attacker").public_key().public_numbers()
    key = {"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA"}
    return {**key, "n": number(public.n, 512), "e": number(public.e, 3), **changes}


def runtime_of(keys: list[dict[str, Any]], **vm: Any) -> bytes:
    settings = {"secure-boot": True, "console-enabled": False, "tpm-enabled": True, **vm}
    return json.dumps({"keys": keys, "vm-configuration": settings, "user-data": ""}).encode()


def hcl(runtime: bytes, *, kind: int = 2, hashed: int = 1, bound: bytes | None = None) -> bytes:
    data = sha256(runtime if bound is None else bound).digest() + bytes(32)
    report = amd.Fields("Genoa", report_data=data).report()
    claims = struct.pack("<5I", 20 + len(runtime), 1, kind, hashed, len(runtime)) + runtime
    length = 32 + len(report) + len(claims)
    head = struct.pack("<4sIIII12x", b"HCLA", 2, length, 2, 0)
    return (head + report + claims).ljust(2600, b"\0")


def quote(nonce: bytes = NONCE) -> bytes:
    """A TPMS_ATTEST over all PCRs of the SHA-256 bank."""
    return (
        struct.pack(">IHH34sH", 0xFF544347, 0x8018, 34, b"\0\x0b" + bytes(32), len(nonce))
        + nonce
        + struct.pack(">QIIBQ", 1, 2, 3, 1, 4)
        + struct.pack(">IHB3s", 1, 0x000B, 3, b"\xff\xff\xff")
        + struct.pack(">H32s", 32, sha256(PCRS).digest())
    )


@cache
def simulated(runtime: bytes = b"", **changes: Any) -> Evidence:
    message = quote()
    signature = amd.rsa_key("attacker").sign(message, padding.PKCS1v15(), hashes.SHA256())
    report = hcl(runtime or runtime_of([ak_jwk()]), **changes)
    return Evidence(report, message, signature, PCRS, amd.good("Genoa").certificates)


def code_of(
    evidence: Evidence,
    expected: Expectations,
    now: int = amd.NOW,
    roots: dict[str, str] | None = PINNED,
) -> str:
    settings: dict[str, Any] = {} if roots is None else {"roots": roots}
    try:
        verify(evidence, now=now, expectations=expected, **settings)
    except EvidenceRefused as error:
        return error.code
    return ""


EXPECTED = Expectations(nonce=NONCE.hex(), pcrs={"4": frozenset({sha256(b"\4").hexdigest()})})
CASES: dict[str, tuple[Evidence, str]] = {
    "a TDX report": (simulated(kind=4), "attest.azure_report_type"),
    "another hash": (simulated(hashed=2), "attest.azure_report_type"),
    "claims that the hardware does not name": (
        simulated(bound=runtime_of([])),
        "attest.azure_runtime",
    ),
    "no key": (simulated(runtime_of([])), "attest.azure_ak"),
    "two keys": (simulated(runtime_of([ak_jwk(), ak_jwk()])), "attest.azure_ak"),
    "a key for something else": (
        simulated(runtime_of([ak_jwk(key_ops=["encrypt"])])),
        "attest.azure_ak",
    ),
    "another kind of key": (simulated(runtime_of([ak_jwk(kty="EC")])), "attest.azure_claims"),
    "a key that is none": (simulated(runtime_of([ak_jwk(n="AA")])), "attest.azure_claims"),
    "claims that are no JSON": (simulated(b"{"), "attest.azure_claims"),
    "no secure boot": (
        simulated(runtime_of([ak_jwk()], **{"secure-boot": False})),
        "attest.azure_secure_boot",
    ),
    "a console": (
        simulated(runtime_of([ak_jwk()], **{"console-enabled": True})),
        "attest.azure_console",
    ),
    "23 PCRs": (replace(simulated(), pcrs=PCRS[32:]), "attest.azure_pcrs"),
    "a byte behind": (
        replace(simulated(), hcl_report=simulated().hcl_report + b"\1"),
        "attest.azure_hcl",
    ),
    "too short": (replace(simulated(), hcl_report=b"HCLA"), "attest.azure_hcl"),
    "an unpinned root": (
        replace(simulated(), certificates=(*amd.good("Genoa").certificates[:2], amd.ark("Genoa"))),
        "attest.snp_root",
    ),
    "another signature": (replace(simulated(), signature=bytes(512)), "attest.tpm_signature"),
}


def test_the_simulated_vm_is_accepted() -> None:
    assert code_of(simulated(), EXPECTED) == ""


@pytest.mark.parametrize("case", CASES)
def test_refusals(case: str) -> None:
    evidence, code = CASES[case]
    assert code_of(evidence, EXPECTED) == code


def test_what_the_owner_may_choose() -> None:
    assert code_of(simulated(), Expectations()) == "attest.tpm_nonce"
    other = Expectations(nonce=NONCE.hex(), pcrs={"4": frozenset({"00" * 32})})
    assert code_of(simulated(), other).startswith("attest.tpm_pcr")
    for vm, allowed in (
        ({"secure-boot": False}, {"require_secure_boot": False}),
        ({"console-enabled": True}, {"allow_console": True}),
    ):
        lenient = Expectations(nonce=NONCE.hex(), **allowed)  # type: ignore[arg-type]
        assert code_of(simulated(runtime_of([ak_jwk()], **vm)), lenient) == ""


def missed(part: str, positions: Iterable[int]) -> list[int]:
    """Where a flip in this part of the evidence goes unnoticed."""
    raw = getattr(simulated(), part)
    found = []
    for at in positions:
        flipped = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        if code_of(replace(simulated(), **{part: flipped}), EXPECTED) == "":
            found.append(at)
    return found


def test_every_byte_of_the_hcl_report_flips_to_a_refusal() -> None:
    """Of the hardware report in it every eighth: all of its bytes are flipped among SNP's tests."""
    length = len(simulated().hcl_report)
    assert code_of(simulated(), EXPECTED) == ""
    assert missed("hcl_report", [*range(32), *range(32, 1216, 8), *range(1216, length)]) == []


@pytest.mark.parametrize("part", ["message", "signature", "pcrs"])
def test_every_byte_of_the_quote_flips_to_a_refusal(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hardware report stays as it is and is therefore judged once."""
    evidence = simulated()
    hardware = snp.verify(
        snp.Evidence(evidence.hcl_report[32:1216], evidence.certificates),
        now=amd.NOW,
        expectations=EXPECTED.snp,
        roots=PINNED,
    )
    monkeypatch.setattr(snp, "verify", lambda *_args, **_settings: hardware)
    assert code_of(evidence, EXPECTED) == ""
    assert missed(part, range(len(getattr(evidence, part)))) == []


def test_a_bundle() -> None:
    evidence, expected = genuine("azure_genoa_v3_vtpm.json")
    names = ("hcl_report", "message", "signature", "pcrs")
    made = Bundle(
        kind="azure-snp",
        evidence={name: getattr(evidence, name) for name in names},
        certificates=evidence.certificates,
    )
    assert verify_bundle(made, now=IN_2025, expectations=expected).chip != ""
    wrong = Bundle(kind="azure-snp", evidence=made.evidence, collateral={"x": b""})
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(wrong, now=IN_2025, expectations=expected)
    assert refused.value.code == "attest.bundle_parts"
