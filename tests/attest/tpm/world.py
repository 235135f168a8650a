"""The simulated TPM as its committed fixtures have it, ready to be bent by a test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from strongroom.attest.interface import Checks, Facts
from strongroom.attest.tpm.ak import (
    AttestationKey,
    by_certificate,
    by_credential,
    name_of,
    pinned,
)
from strongroom.attest.tpm.expectations import Credential, Expectations
from strongroom.attest.tpm.quote import Quote, verify
from strongroom.attest.tpm.reasons import REASONS
from strongroom.attest.tpm.wire import Signature
from tests.attest.simulated import tpm as sim

FIXTURES = Path(__file__).parent.parent / "simulated" / "tpm_fixtures"
STRICT = Expectations(nonce=sim.NONCE.hex())


def party(name: str) -> sim.Party:
    data = (FIXTURES / f"{name}.pem").read_bytes()
    key = serialization.load_pem_private_key(data, None)
    return sim.Party(key, x509.load_pem_x509_certificate(data))


PARTIES = {path.stem: party(path.stem) for path in sorted(FIXTURES.glob("*.pem"))}
ROOTS = frozenset({PARTIES["root"].fingerprint})
UPPER = (PARTIES["ca"].der, PARTIES["root"].der)
AK = PARTIES["ak"].key
RSA_AK = PARTIES["ak_rsa"].key
AREA = sim.public_area(AK)
SECRET = bytes(range(100, 132))
EK = sim.spki(PARTIES["ek"].key)
CREDENTIAL = Credential(
    secret=SECRET.hex(), ak_name=name_of(AREA).hex(), ek=hashlib.sha256(EK).hexdigest()
)


def quote(**changes: object) -> sim.Sample:
    return sim.Sample(key=AK).but(**changes)


def judge(
    sample: sim.Sample,
    *,
    pcrs: dict[int, bytes] | None = None,
    message: bytes | None = None,
    signature: bytes | Signature | None = None,
    log: bytes = b"",
    ak: bytes | None = None,
    **choices: object,
) -> Facts:
    """Verify a quote by a pinned key under the strict expectations, changed by ``choices``."""
    if "pcrs_allowed" in choices:
        choices["pcrs"] = choices.pop("pcrs_allowed")
    expectations = msgspec.structs.replace(STRICT, **choices)
    public = sim.spki(sample.key) if ak is None else ak
    made = Quote(
        message=sample.message if message is None else message,
        signature=sample.signature if signature is None else signature,
        pcrs=sample.pcrs if pcrs is None else pcrs,
        log=log,
    )
    checks = Checks(REASONS)
    key = pinned(public, frozenset({hashlib.sha256(public).hexdigest()}), checks)
    return verify(made, key, checks, expectations=expectations)


def certified(*chain: bytes, now: int = sim.NOW, roots: frozenset[str] = ROOTS) -> AttestationKey:
    return by_certificate(chain, roots, Checks(REASONS), now=now)


def activated(
    area: bytes = AREA,
    chain: tuple[bytes, ...] = (PARTIES["ek"].der, *UPPER),
    credential: Credential | None = CREDENTIAL,
    answer: bytes = SECRET,
) -> AttestationKey:
    checks = Checks(REASONS)
    return by_credential(
        area, chain, ROOTS, checks, now=sim.NOW, credential=credential, answer=answer
    )


def leaf(**changes: object) -> bytes:
    """An AK's certificate issued anew, with a defect."""
    defaults = {
        "common_name": "AK",
        "issuer": PARTIES["ca"],
        "public_key": AK.public_key(),
        "purpose": sim.AK_PURPOSE,
    }
    return sim.issue(**{**defaults, **changes}).der
