"""Positive controls and bundles: each way of trusting the key, each scheme, the whole log."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import Checks, EvidenceRefused
from strongroom.attest.tpm.ak import AttestationKey
from strongroom.attest.tpm.bundled import verify_bundle
from strongroom.attest.tpm.expectations import Expectations
from strongroom.attest.tpm.quote import Quote, verify
from strongroom.attest.tpm.reasons import REASONS
from strongroom.attest.tpm.wire import Signature, read_attest, read_public
from tests.attest.simulated import tpm as sim

from .world import (
    AK,
    AREA,
    CREDENTIAL,
    FIXTURES,
    PARTIES,
    ROOTS,
    RSA_AK,
    SECRET,
    STRICT,
    UPPER,
    activated,
    certified,
    judge,
    quote,
)

VALUES = b"".join(value for _, value in sorted(sim.PCRS.items()))


def bundle(certificates: tuple[bytes, ...] = (), **parts: bytes) -> Bundle:
    sample = quote()
    evidence = {
        "message": sample.message,
        "signature": sample.signature,
        "pcrs": VALUES,
        **parts,
    }
    return Bundle(kind="tpm", evidence=evidence, certificates=certificates)


def choose(**choices: object) -> Expectations:
    return msgspec.structs.replace(STRICT, **choices)


@pytest.mark.parametrize(
    "sample",
    [
        quote(),
        quote(key=RSA_AK),
        quote(key=RSA_AK, scheme="rsapss"),
        quote(key=sim.ec.generate_private_key(sim.ec.SECP384R1()), hash=sim.SHA384),
    ],
)
def test_each_scheme_is_accepted(sample: sim.Sample) -> None:
    facts = judge(sample)
    assert facts.measurements["pcr4"] == sim.PCRS[4].hex()
    assert facts.report_data == sim.NONCE
    assert facts.claims["ak_trust"] == "pinned"


def test_a_bare_signature_is_accepted_with_its_scheme_named() -> None:
    sample = quote(key=RSA_AK)
    bare = Signature("rsassa", "sha256", sample.signature[6:])
    assert judge(sample, signature=bare).chip == hashlib.sha256(sim.spki(RSA_AK)).hexdigest()


def test_the_key_that_a_hardware_report_names_is_accepted() -> None:
    key = AttestationKey(sim.spki(AK), "runtime", "chip of the report")
    made = Quote(quote().message, quote().signature, sim.PCRS)
    facts = verify(made, key, Checks(REASONS), expectations=STRICT)
    assert (facts.claims["ak_trust"], facts.chip) == ("runtime", "chip of the report")


def test_what_the_owner_may_allow_is_accepted() -> None:
    assert judge(quote(safe=0), unsafe_clock=True).claims["clock_safe"] is False
    assert judge(quote(), reset_count=7).tcb["reset_count"] == 7
    allowed = {"4": frozenset({"00", sim.PCRS[4].hex().upper()})}
    assert judge(quote(), pcrs_allowed=allowed).measurements
    assert judge(quote(nonce=b""), any_nonce=True, nonce="").report_data == b""


@pytest.mark.parametrize("locality", [0, 3])
def test_the_log_leads_to_the_values(locality: int) -> None:
    sample = quote(pcrs=sim.logged_pcrs(locality=locality))
    facts = judge(sample, log=sim.log(locality=locality), event_log="required")
    assert [check.found for check in facts.checks if check.number == "6.3"] == ["2 PCRs"]


def test_the_committed_quote_is_accepted() -> None:
    made = Quote(
        (FIXTURES / "quote.message").read_bytes(),
        (FIXTURES / "quote.signature").read_bytes(),
        sim.logged_pcrs(),
        (FIXTURES / "quote.log").read_bytes(),
    )
    key = certified(PARTIES["ak"].der, *UPPER)
    facts = verify(made, key, Checks(REASONS), expectations=STRICT)
    assert facts.certificates[0].subject == "CN=AK"


def test_a_public_area_names_the_key() -> None:
    for key in (AK, RSA_AK):
        area = read_public(sim.public_area(key))
        assert area is not None
        assert area.key == sim.spki(key)


def test_a_bundle_by_a_pinned_key() -> None:
    pin = hashlib.sha256(sim.spki(AK)).hexdigest()
    chosen = choose(ak_pins=frozenset({pin}))
    facts = verify_bundle(bundle(ak=sim.spki(AK)), now=sim.NOW, expectations=chosen)
    assert facts.chip == pin


def test_a_bundle_by_certificate() -> None:
    chain = (PARTIES["ak"].der, *UPPER)
    facts = verify_bundle(bundle(chain), now=sim.NOW, expectations=choose(roots=ROOTS))
    assert facts.claims["ak_trust"] == "certificate"


def test_a_bundle_by_credential() -> None:
    chain = (PARTIES["ek"].der, *UPPER)
    chosen = choose(roots=ROOTS, credential=CREDENTIAL)
    made = bundle(chain, ak_public=AREA, answer=SECRET)
    facts = verify_bundle(made, now=sim.NOW, expectations=chosen)
    assert (facts.claims["ak_trust"], facts.chip) == ("credential", CREDENTIAL.ek)
    assert activated().public == sim.spki(AK)


@pytest.mark.parametrize(
    ("parts", "chain"),
    [
        ({}, ()),
        ({"ak": b"x"}, UPPER),
        ({"ak_public": AREA}, UPPER),
        ({"answer": SECRET}, UPPER),
        ({"ak_public": AREA, "answer": SECRET}, ()),
    ],
)
def test_a_bundle_must_say_why_its_key_is_trusted(parts: dict, chain: tuple) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(bundle(chain, **parts), now=sim.NOW, expectations=choose(roots=ROOTS))
    assert refused.value.code == "attest.tpm_ak_missing"


def test_a_bundle_with_other_parts_is_refused() -> None:
    for made in (bundle(more=b""), msgspec.structs.replace(bundle(), crls=(b"",))):
        with pytest.raises(EvidenceRefused) as refused:
            verify_bundle(made, now=sim.NOW, expectations=STRICT)
        assert refused.value.code == "attest.bundle_parts"


def test_a_bundle_with_too_few_values_is_refused() -> None:
    chain = (PARTIES["ak"].der, *UPPER)
    made = bundle(chain, pcrs=VALUES[:-32])
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(made, now=sim.NOW, expectations=choose(roots=ROOTS))
    assert refused.value.code == "attest.tpm_values"


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "attestation" / "tpm"


def test_the_quote_of_trustee_is_accepted(folder: Path) -> None:
    given = json.loads((folder / "trustee_tpm_evidence.json").read_bytes())
    inner = given["tpm_quote"]
    pcrs = dict(enumerate(bytes.fromhex(value) for value in inner["pcrs"]))
    made = Quote(b64decode(inner["message"]), b64decode(inner["signature"]), pcrs)
    key = AttestationKey(b64decode(given["ak_public"]), "pinned", "")
    chosen = Expectations(any_nonce=True, selection=tuple(range(24)))
    assert verify(made, key, Checks(REASONS), expectations=chosen).tcb["reset_count"] == 2
    with pytest.raises(EvidenceRefused) as refused:
        verify(made, key, Checks(REASONS), expectations=Expectations(any_nonce=True))
    assert refused.value.code == "attest.tpm_selection"


def test_the_quote_of_swtpm_is_accepted(folder: Path) -> None:
    lines = (folder / "pcrs.txt").read_text().splitlines()[1:]
    pairs = (line.split(":") for line in lines if line.strip())
    pcrs = {int(n): bytes.fromhex(value.strip().removeprefix("0x")) for n, value in pairs}
    public = load_pem_public_key((folder / "ak.pub").read_bytes())
    key = AttestationKey(
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "pinned", ""
    )
    bare = Signature("ecdsa", "sha256", (folder / "quote.sigplain").read_bytes())
    made = Quote((folder / "quote.msg").read_bytes(), bare, pcrs)
    nonce = (folder / "nonce.bin").read_bytes()
    chosen = Expectations(nonce=nonce.hex(), selection=tuple(sorted(pcrs)))
    facts = verify(made, key, Checks(REASONS), expectations=chosen)
    assert facts.report_data == nonce


def test_the_sample_without_a_signature_is_read(folder: Path) -> None:
    attest = read_attest((folder / "quote_sample.bin").read_bytes())
    assert attest is not None
    assert (attest.extra_data.hex(), attest.selections) == ("12345678", ((11, (0, 1, 2)),))
