"""Every way in which a Nitro document can be wrong, each with its own reason code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest.bundle import Bundle
from strongroom.attest.nitro.verify import MAX_AGE, verify
from strongroom.attest.registry import verify_bundle
from tests.attest.dcap.support import real, refused
from tests.attest.nitro.support import DEBUG_NOW, REAL_NOW, captured, check, wanted
from tests.attest.simulated import nitro
from tests.attest.simulated.nitro import (
    INSTANCE,
    NOW,
    REGION,
    ROOT,
    ZONE,
    Nitro,
    certificate,
    document,
    leaf,
    pcrs,
)

CHAIN = nitro.chain()


def fields(**changes: Any) -> Callable[[], bytes]:
    return lambda: document(fields=changes)


def made(**changes: Any) -> Callable[[], bytes]:
    return lambda: document(**changes)


def chained(at: int, replacement: bytes) -> Callable[[], bytes]:
    return made(cabundle=(*CHAIN[:at], replacement, *CHAIN[at + 1 :]))


def payload(content: bytes) -> Callable[[], bytes]:
    return made(payload=content)


BODY = Nitro().body()
DOCUMENTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "too long": ("attest.nitro_size", lambda: bytes(32 * 1024 + 1)),
    "empty": ("attest.nitro_framing", lambda: b""),
    "trailing byte": ("attest.nitro_framing", lambda: document() + b"\0"),
    "cut off": ("attest.nitro_framing", lambda: document()[:-1]),
    "tagged": ("attest.nitro_framing", lambda: b"\xd2" + document()),
    "three parts": ("attest.nitro_framing", lambda: cbor2.dumps(cbor2.loads(document())[:3])),
    "long form of a length": ("attest.nitro_framing", lambda: b"\x98\x04" + document()[1:]),
    "signature of 64 bytes": ("attest.nitro_framing", made(signature=bytes(64))),
    "ES256": ("attest.nitro_algorithm", made(protected=bytes.fromhex("a10126"))),
    "two algorithms": ("attest.nitro_algorithm", made(protected=bytes.fromhex("a2013822013822"))),
    "no algorithm": ("attest.nitro_algorithm", made(protected=b"")),
    "unprotected algorithm": ("attest.nitro_unprotected", made(unprotected={1: -7})),
    "payload with a byte after it": ("attest.nitro_document", payload(BODY + b"\0")),
    "payload that is no map": ("attest.nitro_document", payload(b"\x01")),
    "field that stands twice": (
        "attest.nitro_document",
        payload(BODY[:-1] + cbor2.dumps("nonce") + b"\xf6\xff"),
    ),
    "unknown field": ("attest.nitro_document", fields(more=1)),
    "field that is missing": ("attest.nitro_document", made(without=("public_key",))),
    "field of another type": ("attest.nitro_document", fields(timestamp="now")),
    "nonce that is too long": ("attest.nitro_document", fields(nonce=bytes(1025))),
    "user data that is too long": ("attest.nitro_document", fields(user_data=bytes(1025))),
    "public key that is too long": ("attest.nitro_document", fields(public_key=bytes(1025))),
    "digest SHA256": ("attest.nitro_digest", fields(digest="SHA256")),
    "PCR of 32 bytes": ("attest.nitro_pcrs", fields(pcrs=pcrs(pcr3=bytes(32)))),
    "PCR 32": ("attest.nitro_pcrs", fields(pcrs=pcrs(pcr32=bytes(48)))),
    "PCR 0 missing": ("attest.nitro_pcrs", fields(pcrs={1: bytes(48), 2: bytes(48)})),
    "debug mode": ("attest.nitro_debug", fields(pcrs=pcrs(pcr0=bytes(48)))),
    "unparseable certificate": ("attest.nitro_certificate", made(certificate=b"\x30\x00")),
    "unparseable intermediate": ("attest.nitro_certificate", chained(2, b"\x30\x00")),
    "no bundle": ("attest.nitro_certificate", made(cabundle=())),
    "endless bundle": ("attest.nitro_certificate", made(cabundle=CHAIN[:1] * 9)),
    "whole fake chain": (
        "attest.nitro_root",
        made(
            cabundle=(
                certificate(ROOT, ROOT, issuer_key="attacker"),
                *CHAIN[1:],
            )
        ),
    ),
    "bundle without its root": ("attest.nitro_root", made(cabundle=CHAIN[1:])),
    "bundle in another order": (
        "attest.nitro_chain_names",
        made(cabundle=(CHAIN[0], CHAIN[2], CHAIN[1], CHAIN[3])),
    ),
    "intermediate that is no authority": (
        "attest.nitro_authority",
        chained(3, certificate(INSTANCE, ZONE, ca=False)),
    ),
    "path length exceeded": (
        "attest.nitro_authority",
        chained(1, certificate(REGION, ROOT, below=1)),
    ),
    "enclave that signs for another": (
        "attest.nitro_authority",
        made(
            cabundle=(*CHAIN, leaf()),
            certificate=leaf(subject="x.sim", issuer=nitro.LEAF),
            signed_by="x.sim",
        ),
    ),
    "signer that is an authority": (
        "attest.nitro_signer",
        made(certificate=leaf(ca=True, below=0)),
    ),
    "signer that may not sign": ("attest.nitro_signer", made(certificate=leaf(signing=False))),
    "critical extension": ("attest.nitro_critical", made(certificate=leaf(critical="1.2.3.4"))),
    "signer by an attacker": (
        "attest.nitro_chain_signature",
        made(certificate=leaf(issuer_key="attacker")),
    ),
    "intermediate by an attacker": (
        "attest.nitro_chain_signature",
        chained(2, certificate(ZONE, REGION, below=1, issuer_key="attacker")),
    ),
    "chain with SHA-256": (
        "attest.nitro_chain_signature",
        made(certificate=leaf(digest=hashes.SHA256)),
    ),
    "expired signer": ("attest.nitro_expired", made(certificate=leaf(not_after=NOW - 1))),
    "expired intermediate": (
        "attest.nitro_expired",
        chained(3, certificate(INSTANCE, ZONE, below=0, not_after=NOW - 1)),
    ),
    "signer of tomorrow": ("attest.nitro_early", made(certificate=leaf(not_before=NOW + 1))),
    "another enclave's certificate": ("attest.nitro_module", fields(module_id="i-0-enc0")),
    "no module": ("attest.nitro_module", fields(module_id="")),
    "signed by another key": ("attest.nitro_signature", made(signed_by="attacker")),
    "zero signature": ("attest.nitro_signature", made(signature=bytes(96))),
    "signature by P-256": (
        "attest.nitro_signature",
        made(certificate=leaf(curve=ec.SECP256R1)),
    ),
    "too old": ("attest.nitro_stale", fields(timestamp=(NOW - MAX_AGE) * 1000 - 1)),
    "from the future": ("attest.nitro_future", fields(timestamp=(NOW + MAX_AGE) * 1000 + 1)),
    "replayed nonce": ("attest.nitro_nonce", fields(nonce=bytes(32))),
    "no nonce": ("attest.nitro_nonce", fields(nonce=None)),
}
OTHER = frozenset({"00" * 48})
WANTED: dict[str, tuple[str, dict[str, Any]]] = {
    "another image": ("attest.nitro_pcr0", {"pcr0": OTHER}),
    "another kernel": ("attest.nitro_pcr1", {"pcr1": OTHER}),
    "another application": ("attest.nitro_pcr2", {"pcr2": OTHER}),
    "another signer of the image": ("attest.nitro_pcr8", {"pcr8": OTHER}),
    "nothing is allowed": ("attest.nitro_pcr0", {"pcr0": frozenset()}),
    "another public key": ("attest.nitro_public_key", {"public_key": "00"}),
    "another user data": ("attest.nitro_user_data", {"user_data": ""}),
    "no nonce was issued": ("attest.nitro_nonce", {"nonce": ""}),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_is_refused_with_its_code(name: str) -> None:
    code, make = DOCUMENTS[name]
    with refused(code):
        check(make())


@pytest.mark.parametrize("name", WANTED)
def test_another_enclave_than_expected_is_refused(name: str) -> None:
    code, changes = WANTED[name]
    with refused(code):
        check(document(), wanted(**changes))


def test_an_empty_nonce_answers_no_challenge() -> None:
    with refused("attest.nitro_nonce"):
        check(document(fields={"nonce": b""}), wanted(nonce=""))


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len({code for code, _ in (*DOCUMENTS.values(), *WANTED.values())}) >= 15


@pytest.mark.parametrize("definite", [False, True])
def test_the_good_document_is_accepted(definite: bool) -> None:
    values = nitro.pcrs()
    expectations = wanted(
        pcr0=frozenset({values[0].hex()}),
        pcr1=frozenset({values[1].hex()}),
        pcr2=frozenset({values[2].hex()}),
        pcr8=frozenset({values[8].hex()}),
        public_key=b"key".hex(),
        user_data="da" * 64,
    )
    facts = check(document(definite=definite), expectations)
    assert (facts.kind, facts.assurance, facts.debug) == ("nitro", "HARDWARE", False)
    assert facts.measurements["pcr8"] == values[8].hex()
    assert facts.claims["nonce"] == nitro.NONCE.hex()
    assert len(facts.certificates) == 5
    assert facts.claims["not_compared"] == ()


@pytest.mark.parametrize("seconds", [-MAX_AGE, 0, MAX_AGE])
def test_the_age_is_judged_to_the_second(seconds: int) -> None:
    facts = check(document(fields={"timestamp": (NOW + seconds) * 1000}))
    assert facts.claims["timestamp"] == NOW + seconds


def test_optional_fields_may_be_null() -> None:
    bare = {"public_key": None, "user_data": None, "nonce": None}
    facts = check(document(fields=bare), wanted(nonce="", any_nonce=True))
    assert facts.report_data == b""


@real
def test_the_real_document_is_accepted_at_its_time() -> None:
    bundle = Bundle(kind="nitro", evidence={"document": captured("doc_1.bin")})
    with refused("attest.nitro_nonce"):
        verify_bundle(bundle, now=REAL_NOW, expectations={})
    chosen = {"nitro": {"any_nonce": True}}
    (facts,) = verify_bundle(bundle, now=REAL_NOW, expectations=chosen)
    assert facts.measurements["pcr0"].startswith("5cb702954321826d")
    for later, code in ((301, "attest.nitro_stale"), (86_400, "attest.nitro_expired")):
        with refused(code):
            verify_bundle(bundle, now=REAL_NOW + later, expectations=chosen)


@real
def test_the_real_debug_document_is_refused() -> None:
    document = captured("doc_DEBUG_pcr0_zero.bin")
    with refused("attest.nitro_debug"):
        verify(document, now=DEBUG_NOW, expectations=wanted(nonce="", any_nonce=True))


@real
def test_a_capture_with_what_stands_around_the_document_is_refused() -> None:
    from tests.attest.dcap.support import blob

    with refused("attest.nitro_framing"):
        verify(blob("nitro/doc_1.bin"), now=REAL_NOW, expectations=wanted())


def test_the_script_writes_what_is_committed() -> None:
    for name, content in nitro.fixtures().items():
        assert (nitro.FOLDER / name).read_bytes() == content
    good = (nitro.FOLDER / "document.bin").read_bytes()
    assert replace(check(good), checks=()) == replace(check(document()), checks=())


def test_the_record_names_every_numbered_check() -> None:
    numbers = {made.number for made in check(document()).checks}
    assert numbers == {f"N{i}" for i in range(1, 22)}
