"""The semantic matrix: a quote that is wrong in one way is refused with that way's code."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.attest.interface import Checks, EvidenceRefused
from strongroom.attest.tpm.ak import name_of, pinned
from strongroom.attest.tpm.reasons import REASONS
from strongroom.attest.tpm.wire import Signature
from tests.attest.simulated import tpm as sim

from .world import (
    AK,
    AREA,
    CREDENTIAL,
    PARTIES,
    RSA_AK,
    SECRET,
    UPPER,
    activated,
    certified,
    judge,
    leaf,
    quote,
)

PAST = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
OTHER = ec.generate_private_key(ec.SECP256R1())
WEAK = rsa.generate_private_key(65537, 1024)
KOBLITZ = ec.generate_private_key(ec.SECP256K1())
LOGGED = sim.logged_pcrs()
DECRYPTS = sim.AK_ATTRIBUTES | 0x00020000
UNRESTRICTED = sim.AK_ATTRIBUTES & ~0x00010000
MOVABLE = sim.AK_ATTRIBUTES & ~0x00000002
IMPORTED = sim.AK_ATTRIBUTES & ~0x00000020
NO_SIGN = sim.AK_ATTRIBUTES & ~0x00040000
DUPLICABLE = sim.AK_ATTRIBUTES & ~0x00000010


def loose_bit_string(der: bytes) -> bytes:
    """A certificate whose signature claims one unused bit."""
    outer = PARTIES["ak"].certificate.signature
    at = der.rindex(outer) - 1
    return der[:at] + b"\1" + der[at + 1 : -1] + bytes([der[-1] & 0xFE])


def with_log(log: bytes, **choices: object) -> object:
    return judge(quote(pcrs=LOGGED), log=log, **choices)


def edited_log(old: bytes, new: bytes) -> bytes:
    whole = sim.log()
    assert old in whole
    return whole.replace(old, new, 1)


def credential(**changes: object) -> object:
    return activated(credential=msgspec.structs.replace(CREDENTIAL, **changes))


def credential_answered(answer: bytes, **changes: object) -> object:
    return activated(answer=answer, credential=msgspec.structs.replace(CREDENTIAL, **changes))


def area(attributes: int) -> object:
    return activated(area=sim.public_area(AK, attributes))


def middle(**changes: object) -> object:
    """The AK's certificate under an intermediate that is issued anew, with a defect."""
    ca = PARTIES["ca"]
    made = sim.issue("Simulated TPM CA", PARTIES["root"], ca.key.public_key(), ca.key, **changes)
    return certified(PARTIES["ak"].der, made.der, PARTIES["root"].der)


def long_path() -> object:
    """Two authorities under one that allows none beside the leaf."""
    key = ec.generate_private_key(ec.SECP384R1())
    low = sim.issue("Low CA", PARTIES["ca"], key.public_key(), key)
    return certified(leaf(issuer=low), low.der, *UPPER)


TRUNCATED = quote().message[:-1]
TWO_BANKS = sim.selection(11, range(8)) + sim.selection(12, range(8))
PLAIN = Signature("ecdsa", "sha256", b"\x30\x00")
SHA1_SIGNATURE = Signature("rsassa", "sha1", bytes(256))

CASES: dict[str, tuple[str, Callable[[], object]]] = {
    "empty message": ("message", lambda: judge(quote(), message=b"")),
    "message cut": ("message", lambda: judge(quote(), message=TRUNCATED)),
    "message with a byte more": ("message", lambda: judge(quote(tail=b"\0"))),
    "too many banks": (
        "message",
        lambda: judge(quote(count=17, banks=sim.selection(11, range(8)) * 17)),
    ),
    "made outside of a TPM": ("magic", lambda: judge(quote(magic=0xFF544348))),
    "a certification, no quote": ("type", lambda: judge(quote(type=0x8017))),
    "a time attestation": ("type", lambda: judge(quote(type=0x8019))),
    "key that nobody pinned": (
        "ak_pinned",
        lambda: pinned(sim.spki(OTHER), frozenset({"00"}), Checks(REASONS)),
    ),
    "signature cut": ("signature_form", lambda: judge(quote(), signature=quote().signature[:-1])),
    "signature with a byte more": (
        "signature_form",
        lambda: judge(quote(), signature=quote().signature + b"\0"),
    ),
    "signature by HMAC": (
        "signature_form",
        lambda: judge(quote(), signature=struct.pack(">HH", 5, 11) + bytes(32)),
    ),
    "signature over SHA-1": (
        "signature_form",
        lambda: judge(quote(), signature=struct.pack(">HH", 0x14, 4) + sim.sized(bytes(256))),
    ),
    "bare signature over SHA-1": ("scheme", lambda: judge(quote(), signature=SHA1_SIGNATURE)),
    "RSA of 1024 bits": ("scheme", lambda: judge(quote(key=WEAK))),
    "curve of another standard": ("scheme", lambda: judge(quote(key=KOBLITZ))),
    "ECDSA by an RSA key": (
        "scheme",
        lambda: judge(quote(key=RSA_AK), signature=quote().signature),
    ),
    "RSA by an EC key": (
        "scheme",
        lambda: judge(quote(), signature=quote(key=RSA_AK).signature),
    ),
    "key that is none": ("scheme", lambda: judge(quote(), ak=b"\x30\x00")),
    "signed by another key": (
        "signature",
        lambda: judge(quote(), signature=quote(key=OTHER).signature),
    ),
    "message changed after signing": (
        "signature",
        lambda: judge(quote(), signature=quote(resets=8).signature),
    ),
    "signature of nothing": ("signature", lambda: judge(quote(), signature=PLAIN)),
    "replayed nonce": ("nonce", lambda: judge(quote(nonce=bytes(32)))),
    "no nonce in the quote": ("nonce", lambda: judge(quote(nonce=b""), nonce="")),
    "nonce as a prefix": ("nonce", lambda: judge(quote(nonce=sim.NONCE + b"\0"))),
    "clock went backwards": ("clock", lambda: judge(quote(safe=0))),
    "clock flag neither yes nor no": ("clock", lambda: judge(quote(safe=2), unsafe_clock=True)),
    "restarted since": ("reset_count", lambda: judge(quote(), reset_count=6)),
    "bank of SHA-1": ("bank", lambda: judge(quote(banks=sim.selection(4, range(8))))),
    "two banks": ("bank", lambda: judge(quote(count=2, banks=TWO_BANKS))),
    "no bank": ("bank", lambda: judge(quote(count=0, banks=b""))),
    "PCR missing": ("selection", lambda: judge(quote(banks=sim.selection(11, range(7))))),
    "PCR too many": ("selection", lambda: judge(quote(banks=sim.selection(11, range(9))))),
    "no PCR at all": ("selection", lambda: judge(quote(banks=sim.selection(11, ())))),
    "value left out": (
        "values",
        lambda: judge(quote(), pcrs={n: v for n, v in sim.PCRS.items() if n != 3}),
    ),
    "value added": ("values", lambda: judge(quote(), pcrs={**sim.PCRS, 8: bytes(32)})),
    "values shifted": (
        "values",
        lambda: judge(quote(), pcrs={**sim.PCRS, 0: sim.PCRS[0] + b"\0", 1: sim.PCRS[1][:31]}),
    ),
    "value changed": ("digest", lambda: judge(quote(), pcrs={**sim.PCRS, 4: bytes(32)})),
    "digest of other values": ("digest", lambda: judge(quote(digest=bytes(32)))),
    "value not allowed": ("pcr", lambda: judge(quote(), pcrs_allowed={"4": frozenset({"00"})})),
    "value of a PCR not quoted": (
        "pcr",
        lambda: judge(quote(), pcrs_allowed={"11": frozenset({"00" * 32})}),
    ),
    "no log": ("log_missing", lambda: judge(quote(), event_log="required")),
    "log of the old format": (
        "log",
        lambda: with_log(sim.log_head(signature=b"Spec ID Event00\0")),
    ),
    "log without SHA-256": ("log", lambda: with_log(sim.log_head(((4, 20),)))),
    "log cut": ("log", lambda: with_log(sim.log()[:-1])),
    "log of PCR 24": ("log", lambda: with_log(sim.log_head() + sim.event(24, 8, bytes(32), b""))),
    "event with too few digests": (
        "log",
        lambda: with_log(sim.log_head() + sim.event(0, 8, bytes(32), b"", sha1=False)),
    ),
    "log oversized": ("log", lambda: with_log(sim.log() + bytes(5 << 20))),
    "event left out": ("replay", lambda: with_log(sim.log(sim.EVENTS[1:]))),
    "event added": ("replay", lambda: with_log(sim.log((*sim.EVENTS, sim.EVENTS[0])))),
    "events swapped": ("replay", lambda: with_log(sim.log(sim.EVENTS[::-1]))),
    "log that extends nothing": ("replay", lambda: with_log(sim.log_head())),
    "log of another locality": ("replay", lambda: with_log(sim.log(locality=3))),
    "event's text changed": (
        "log_event",
        lambda: with_log(edited_log(b"SecureBoot=1", b"SecureBoot=0")),
    ),
    "AK certificate unreadable": ("certificate", lambda: certified(b"x", *UPPER)),
    "AK certificate not in DER": (
        "certificate",
        lambda: certified(loose_bit_string(PARTIES["ak"].der), *UPPER),
    ),
    "no certificates": ("certificate", lambda: certified()),
    "seven certificates": ("certificate", lambda: certified(*(PARTIES["ak"].der,) * 7)),
    "unknown critical extension": (
        "certificate",
        lambda: certified(leaf(critical=(("1.2.3.4", b"\5\0"),)), *UPPER),
    ),
    "another root": ("root", lambda: certified(PARTIES["ak"].der, *UPPER, roots=frozenset())),
    "chain ends before the root": ("root", lambda: certified(PARTIES["ak"].der, UPPER[0])),
    "AK certified by a stranger": (
        "chain",
        lambda: certified(leaf(issuer=sim.Party(OTHER, PARTIES["ca"].certificate)), *UPPER),
    ),
    "intermediate left out": ("chain", lambda: certified(PARTIES["ak"].der, UPPER[1])),
    "intermediate no authority": (
        "chain",
        lambda: middle(authority=False, purpose=sim.AK_PURPOSE),
    ),
    "intermediate may not sign": ("chain", lambda: middle(may_sign=False)),
    "path length exceeded": ("chain", long_path),
    "EK's certificate for an AK": ("purpose", lambda: certified(PARTIES["ek"].der, *UPPER)),
    "authority for an AK": (
        "purpose",
        lambda: certified(leaf(authority=True), *UPPER),
    ),
    "AK certificate expired": ("validity", lambda: certified(leaf(end=PAST), *UPPER)),
    "intermediate expired": ("validity", lambda: middle(end=PAST, path_length=0)),
    "public area cut": ("ak_form", lambda: activated(area=AREA[:-1])),
    "public area with a byte more": ("ak_form", lambda: activated(area=AREA + b"\0")),
    "public area named by SHA-384": (
        "ak_form",
        lambda: activated(area=sim.public_area(AK, name_algorithm=12)),
    ),
    "AK may decrypt": ("ak_attributes", lambda: area(DECRYPTS)),
    "AK signs anything": ("ak_attributes", lambda: area(UNRESTRICTED)),
    "AK can leave its TPM": ("ak_attributes", lambda: area(MOVABLE)),
    "AK can be duplicated": ("ak_attributes", lambda: area(DUPLICABLE)),
    "AK was imported": ("ak_attributes", lambda: area(IMPORTED)),
    "AK does not sign": ("ak_attributes", lambda: area(NO_SIGN)),
    "EK's place taken by an AK": (
        "purpose",
        lambda: activated(chain=(PARTIES["ak"].der, *UPPER)),
    ),
    "credential not opened": ("credential", lambda: activated(answer=bytes(32))),
    "credential opened in part": ("credential", lambda: activated(answer=SECRET[:16])),
    "no credential was made": ("credential", lambda: activated(credential=None)),
    "secret too short": (
        "credential",
        lambda: credential_answered(b"", secret=""),
    ),
    "credential for another AK": ("credential", lambda: credential(ak_name=name_of(b"x").hex())),
    "credential for another EK": ("credential", lambda: credential(ek="00" * 32)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_quote_that_is_wrong_in_one_way_is_refused_for_it(name: str) -> None:
    code, attempt = CASES[name]
    with pytest.raises(EvidenceRefused) as refused:
        attempt()
    assert refused.value.code == f"attest.tpm_{code}"


def test_every_code_is_met() -> None:
    met = {f"attest.tpm_{code}" for code, _ in CASES.values()}
    assert set(REASONS) - met == {"attest.tpm_ak_missing"}, "met in test_bundles.py"
