"""Signed manifests: what is signed counts, and nothing else; hostile XML is refused in time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lxml import etree

from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.nvidia import rim as rims
from strongroom.attest.nvidia.reasons import REASONS
from tests.attest.simulated import nvidia as sim

from .world import PARTIES, RIM_CHAIN, RIMS, ROOTS, gpu, judge, rim

DRIVER = RIMS[0]
SIGNATURE = DRIVER[DRIVER.index(b"<ds:Signature ") : DRIVER.index(b"</SoftwareIdentity>")]
FORGED = sim.tag("570.124.06", {7: (bytes(48),)})
ENTITY = b'<!DOCTYPE s [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def code_of(document: bytes) -> str:
    with pytest.raises(EvidenceRefused) as refused:
        rims.read(document, ROOTS.rim)
    return refused.value.code.removeprefix("attest.nvidia_")


def replaced(old: bytes, new: bytes) -> bytes:
    assert old in DRIVER
    return DRIVER.replace(old, new, 1)


def in_front(markup: bytes) -> bytes:
    return markup + DRIVER


def wrapped_whole() -> bytes:
    """A forged tag that carries the genuine signed document inside."""
    return FORGED.replace(b"</SoftwareIdentity>", DRIVER + b"</SoftwareIdentity>")


def wrapped_reference() -> bytes:
    """The genuine document under an id, the reference pointed at it."""
    inner = DRIVER.replace(b"<SoftwareIdentity ", b'<SoftwareIdentity Id="x" ', 1)
    pointed = inner.replace(b'URI=""', b'URI="#x"')
    return FORGED.replace(b"</SoftwareIdentity>", pointed + b"</SoftwareIdentity>")


def two_payloads() -> bytes:
    payload = FORGED[FORGED.index(b"<ns0:Payload>") : FORGED.index(b"</SoftwareIdentity>")]
    return replaced(b"<ds:Signature ", payload + b"<ds:Signature ")


ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("rim_xml", lambda: b""),
    "not XML": ("rim_xml", lambda: b"\x00\x01\x02".replace(b"\0", b"a")),
    "cut": ("rim_xml", lambda: DRIVER[:-20]),
    "text after the end": ("rim_xml", lambda: DRIVER + b"x"),
    "undefined entity": ("rim_xml", lambda: replaced(b"Simulated", b"&bomb;")),
    "oversized": ("rim_size", lambda: DRIVER + b" " * rims.MAX_BYTES),
    "document type": ("rim_markup", lambda: in_front(b"<!DOCTYPE SoftwareIdentity>")),
    "entity bomb": ("rim_markup", lambda: in_front(ENTITY)),
    "external entity": (
        "rim_markup",
        lambda: in_front(b'<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    ),
    "comment in the payload": ("rim_markup", lambda: replaced(b"<ns0:Payload>", b"<!-- -->")),
    "CDATA": ("rim_markup", lambda: replaced(b"<ns0:Payload>", b"<![CDATA[x]]>")),
    "processing instruction": ("rim_markup", lambda: in_front(b"<?xml-stylesheet href='x'?>")),
    "UTF-16": ("rim_markup", lambda: DRIVER.decode().encode("utf-16")),
    "UTF-7 text": ("rim_markup", lambda: replaced(b"Simulated", b"\xff\xfe")),
    "deep nesting": ("rim_xml", lambda: b"<a>" * 15_000 + b"</a>" * 15_000),
    "many attributes": (
        "rim_structure",
        lambda: b"<a " + b" ".join(b'a%d=""' % n for n in range(9_000)) + b"/>",
    ),
    "unsigned": ("rim_structure", lambda: FORGED),
    "other root element": ("rim_structure", lambda: DRIVER.replace(b"SoftwareIdentity", b"Soft")),
    "signature first": (
        "rim_structure",
        lambda: DRIVER.replace(SIGNATURE, b"").replace(b"<ns0:Entity", SIGNATURE + b"<ns0:Entity"),
    ),
    "two signatures": ("rim_structure", lambda: replaced(SIGNATURE, SIGNATURE * 2)),
    "wrapped document": ("rim_structure", wrapped_whole),
    "wrapped under an id": ("rim_structure", wrapped_reference),
    "second payload": ("rim_structure", two_payloads),
    "element inside of a resource": (
        "rim_structure",
        lambda: replaced(b'index="0"', b'index="0"').replace(
            b'size="48"/>', b'size="48"><ns0:Resource/></ns0:Resource>', 1
        ),
    ),
    "object inside of the signature": (
        "rim_structure",
        lambda: replaced(b"</ds:Signature>", b"<ds:Object/></ds:Signature>"),
    ),
    "key instead of certificates": (
        "rim_structure",
        lambda: replaced(b"<ds:KeyInfo>", b"<ds:KeyInfo><ds:KeyValue/>"),
    ),
    "reference elsewhere": ("rim_structure", lambda: replaced(b'URI=""', b'URI="file:///etc/x"')),
    "transform by stylesheet": (
        "rim_structure",
        lambda: replaced(
            b"http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            b"http://www.w3.org/TR/1999/REC-xslt-19991116",
        ),
    ),
    "second reference": (
        "rim_structure",
        lambda: replaced(b"</ds:Reference>", b'</ds:Reference><ds:Reference URI=""/>'),
    ),
    "SHA-1": ("rim_structure", lambda: replaced(b"more#sha384", b"more#sha1xx")),
    "HMAC": ("rim_structure", lambda: replaced(b"more#ecdsa-sha384", b"more#hmac-sha384.")),
    "signature value in loose base64": (
        "rim_structure",
        lambda: replaced(b"</ds:SignatureValue>", b" </ds:SignatureValue>"),
    ),
    "nine certificates": (
        "rim_structure",
        lambda: rim(chain=RIM_CHAIN * 3),
    ),
    "value changed after signing": ("rim_signature", lambda: replaced(b'"570.124.06"', b'"570"')),
    "inactive made active": ("rim_signature", lambda: replaced(b'"False"', b'"True"')),
    "element removed": (
        "rim_structure",
        lambda: replaced(b'<ns0:Entity name="Simulated" role="softwareCreator tagCreator"/>', b""),
    ),
    "digest of another document": ("rim_signature", lambda: rim(digest=bytes(48))),
    "signature by another key": (
        "rim_signature",
        lambda: rim(signer=sim.Party(PARTIES["rim_l3"].key, PARTIES["rim_signer"].certificate)),
    ),
    "signed by a device": (
        "root",
        lambda: rim(
            signer=PARTIES["gpu0_leaf"],
            chain=(PARTIES["gpu0_brom"], PARTIES["identity"], PARTIES["device_root"]),
        ),
    ),
    "signed by an intermediate": (
        "chain_length",
        lambda: rim(signer=PARTIES["rim_l3"], chain=RIM_CHAIN[1:]),
    ),
    "signer beyond the path length": (
        "authority",
        lambda: rim(signer=deep_signer()[0], chain=deep_signer()[1]),
    ),
    "signer under another issuer's name": (
        "chain_names",
        lambda: signed_by(issuer_name=RIM_CHAIN[1].certificate.subject),
    ),
    "signer an authority": (
        "signer",
        lambda: signed_by(authority=True, usages=("digital_signature",)),
    ),
    "signer with an unknown critical extension": (
        "critical",
        lambda: signed_by(critical=(("1.2.3.4", b"\5\0"),)),
    ),
    "signer certified by a stranger": (
        "chain_signature",
        lambda: signed_by(issuer=sim.Party(PARTIES["gpu0_leaf"].key, RIM_CHAIN[0].certificate)),
    ),
    "certificate in loose base64": (
        "certificate",
        lambda: replaced(b"Certificate>MII", b"Certificate>MI-"),
    ),
    "no version": ("rim_values", lambda: rim(edit=('colloquialVersion="570.124.06"', ""))),
    "version with markup": ("rim_values", lambda: rim(version="570.1&lt;")),
    "no product": ("rim_values", lambda: rim(edit=('product="GH100"', ""))),
    "index twice": ("rim_values", lambda: rim(edit=('index="8"', 'index="7"'))),
    "indices out of order": ("rim_values", lambda: rim(edit=('index="0"', 'index="1"'))),
    "65 resources": (
        "rim_values",
        lambda: rim(edit=("</ns0:Payload>", sim.resource(64, None) + "</ns0:Payload>")),
    ),
    "half active": ("rim_values", lambda: rim(edit=('active="True"', 'active="true"'))),
    "fewer digests than announced": (
        "rim_values",
        lambda: rim(edit=('alternatives="1"', 'alternatives="2"')),
    ),
    "digests misnumbered": ("rim_values", lambda: rim(edit=("Hash0", "Hash1"))),
    "short digest": ("rim_values", lambda: rim(edit=("00" * 48, "00" * 47))),
    "upper-case digest": (
        "rim_values",
        lambda: rim(edit=(sim.BLOCKS[7].hex(), sim.BLOCKS[7].hex().upper())),
    ),
    "other type of resource": (
        "rim_values",
        lambda: rim(edit=('type="Measurement"', 'type="Other"')),
    ),
    "17 alternatives": ("rim_values", lambda: rim(active={3: (bytes(48),) * 17})),
    "nothing active": ("rim_empty", lambda: rim(active={})),
}


def signed_by(**changes: object) -> bytes:
    """A manifest by a signer whose certificate is issued anew, with a defect."""
    defaults = {"issuer": RIM_CHAIN[0], "authority": False}
    return rim(signer=sim.issue("Simulated RIM L4 Signer", **{**defaults, **changes}))


def deep_signer() -> tuple[sim.Party, tuple[sim.Party, ...]]:
    """A signer one below where the path length allows one; the chain has the usual length."""
    narrow = sim.issue("Simulated Reference Value GH100 CA", RIM_CHAIN[2], path_length=0)
    l3 = sim.issue("Simulated Reference Value L3 GH100 001", narrow)
    signer = sim.issue("Simulated RIM L4 Signer", l3, authority=False)
    return signer, (l3, narrow, RIM_CHAIN[2])


@pytest.mark.parametrize("name", ATTACKS)
def test_a_bad_manifest_is_refused_for_what_is_wrong(name: str) -> None:
    code, make = ATTACKS[name]
    document = make()
    begin = time.perf_counter()
    assert code_of(document) == code
    assert time.perf_counter() - begin < 2


def test_every_code_of_a_manifest_is_met() -> None:
    codes = {code for code in REASONS if "_rim_" in code}
    of_the_machine = {"attest.nvidia_rim_conflict", "attest.nvidia_rim_duplicate"}
    met = {f"attest.nvidia_{code}" for code, _ in ATTACKS.values()}
    assert codes - of_the_machine - met == set()


def test_the_attacks_start_from_a_manifest_that_is_accepted() -> None:
    read = rims.read(DRIVER, ROOTS.rim)
    assert (read.kind, read.version, sorted(read.active)) == ("driver", "570.124.06", [7, 21, 35])
    assert rims.read(rim(), ROOTS.rim).active == read.active


def test_white_space_between_attributes_is_the_same_manifest() -> None:
    spaced = replaced(b' edition="GPU"', b'\n edition="GPU"')
    assert rims.read(spaced, ROOTS.rim) == rims.read(DRIVER, ROOTS.rim)
    canonical = {etree.tostring(etree.fromstring(d), method="c14n") for d in (spaced, DRIVER)}
    assert len(canonical) == 1


def test_only_pinned_roots_count() -> None:
    with pytest.raises(EvidenceRefused) as refused:
        rims.read(DRIVER, ROOTS.device)
    assert refused.value.code == "attest.nvidia_root"


def test_a_remembered_manifest_still_expires() -> None:
    judge(gpu())
    with pytest.raises(EvidenceRefused) as refused:
        judge(gpu(), now=sim.NOW + 40 * 365 * 86400)
    assert refused.value.code == "attest.nvidia_validity"


def test_one_alternative_is_enough() -> None:
    blocks = (*sim.BLOCKS[:21], bytes(48), *sim.BLOCKS[22:])
    assert judge(gpu(blocks=blocks)).debug is False
