"""Read a signed reference manifest (RIM): an XML SWID tag with an enveloped XML signature.

Only what the signature covers is used: the canonical bytes that ``signxml`` verified are parsed
anew, and nothing is read from the document that was handed in. The document must have exactly
the shape of NVIDIA's manifests, so that there is no second place where a signed part could hide.

 R.1 size; R.2 no DTD, entity, comment, CDATA, processing instruction; R.3 well-formed;
 R.4 exact element structure, algorithms and reference of the whole document;
 R.5 signer's certificates lead to the pinned RIM root (R.5.1 to R.5.7);
 R.6 XML signature (ECDSA P-384, SHA-384) by that signer;
 R.7 version, product and reference values well-formed; R.8 at least one active value.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar, cast

from cryptography import x509
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from strongroom.attest.certificates import Certificate
from strongroom.attest.interface import Checks
from strongroom.attest.nvidia.chain import Link, read_base64, trust
from strongroom.attest.nvidia.reasons import REASONS

MAX_BYTES = 128 * 1024
INDICES = 64
MAX_ALTERNATIVES = 16
CHAIN = 4
MAX_CHAIN = 8
SWID = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
HASH = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
C14N = "http://www.w3.org/2006/12/xml-c14n11"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_DRIVER = re.compile(r"[0-9]{3,4}(?:\.[0-9]{1,4}){1,2}")
_VBIOS = re.compile(r"[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}")
_PRODUCT = re.compile(r"[A-Z0-9_]{4,16}")
_DIGEST = re.compile(r"[0-9a-f]{96}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{128}")
Part = TypeVar("Part")

# Signature in document order, each element with all its attributes; certificates follow.
_SIGNATURE_SHAPE: tuple[tuple[str, dict[str, str]], ...] = (
    ("Signature", {}),
    ("SignedInfo", {}),
    ("CanonicalizationMethod", {"Algorithm": C14N}),
    ("SignatureMethod", {"Algorithm": SignatureMethod.ECDSA_SHA384.value}),
    ("Reference", {"URI": ""}),
    ("Transforms", {}),
    ("Transform", {"Algorithm": ENVELOPED}),
    ("Transform", {"Algorithm": C14N}),
    ("DigestMethod", {"Algorithm": DigestAlgorithm.SHA384.value}),
    ("DigestValue", {}),
    ("SignatureValue", {}),
    ("KeyInfo", {}),
    ("X509Data", {}),
)


@dataclass(frozen=True, slots=True)
class Rim:
    """What a genuine manifest says.

    ``version`` is the driver's or VBIOS's, ``product`` the chip. ``active`` maps an index (0 to
    63) to the digests of which the device must report one.
    """

    kind: Literal["driver", "vbios"]
    product: str
    version: str
    active: Mapping[int, tuple[bytes, ...]]
    certificates: tuple[Certificate, ...]


@lru_cache(maxsize=32)
def read(data: bytes, root: str) -> Rim:
    """Read a manifest whose signature leads to ``root`` (SHA-256 of its DER form, hex).

    Whether its certificates are valid now is the caller's to check: the rest never changes, and
    is remembered for the last 32 manifests.

    Raises:
        AttestationRefused: checks R.1 to R.8.
    """
    checks = Checks(REASONS)
    checks.require("R.1", "attest.nvidia_rim_size", len(data) <= MAX_BYTES)
    checks.require(
        "R.2", "attest.nvidia_rim_markup", b"<!" not in data and b"<?" not in data and _utf8(data)
    )
    document = _present(checks, "R.3", "attest.nvidia_rim_xml", _parse(data))
    signature = _present(checks, "R.4", "attest.nvidia_rim_structure", _signature(document))
    chain = [read_base64(node.text or "") for node in signature.iter(f"{DS}X509Certificate")]
    trust("R.5", chain, checks, root=root, length=CHAIN)
    signed = _present(checks, "R.6", "attest.nvidia_rim_signature", _signed(data, chain[0]))
    rim = _present(checks, "R.7", "attest.nvidia_rim_values", _values(signed, chain))
    checks.require("R.8", "attest.nvidia_rim_empty", len(rim.active) > 0)
    return rim


def forget() -> None:
    """Forget the manifests that were read; for measurements."""
    read.cache_clear()


def _present(checks: Checks, number: str, code: str, value: Part | None) -> Part:
    """``value``, after the check that there is one."""
    checks.require(number, code, value is not None)
    return cast(Part, value)


def _utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _parse(data: bytes) -> etree._Element | None:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8"
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        return None


def _signature(document: etree._Element) -> etree._Element | None:
    """The signature of a document that holds what a manifest holds, each in its place, no more."""
    order = [f"{SWID}Entity", f"{SWID}Meta", f"{SWID}Payload", f"{DS}Signature"]
    if document.tag != f"{SWID}SoftwareIdentity" or [child.tag for child in document] != order:
        return None
    entity, meta, payload, signature = document
    if len(entity) or len(meta):
        return None
    if any(child.tag != f"{SWID}Resource" or len(child) for child in payload):
        return None
    parts = [(node.tag, dict(node.attrib)) for node in signature.iter()]
    expected = [(f"{DS}{tag}", attributes) for tag, attributes in _SIGNATURE_SHAPE]
    certificates = parts[len(expected) :]
    if parts[: len(expected)] != expected or not 1 <= len(certificates) <= MAX_CHAIN:
        return None
    if any(part != (f"{DS}X509Certificate", {}) for part in certificates):
        return None
    value = signature.findtext(f"./{DS}SignatureValue", "")
    return signature if _BASE64.fullmatch(value) else None


def _signed(data: bytes, signer: Link) -> etree._Element | None:
    """The signed part, parsed from the canonical bytes that were verified; else ``None``."""
    config = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=frozenset({SignatureMethod.ECDSA_SHA384}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA384}),
        # Validity is judged by the caller at its own time; here it must not interfere.
        verification_time=datetime.datetime.fromtimestamp(
            signer.certificate.not_before, datetime.UTC
        ),
    )
    try:
        certificate = x509.load_der_x509_certificate(signer.raw)
        verified = XMLVerifier().verify(data, x509_cert=certificate, expect_config=config)
    except (SignXMLException, ValueError, TypeError, etree.LxmlError):
        return None
    if isinstance(verified, list):
        return None
    return verified.signed_xml


def _values(signed: etree._Element, chain: list[Link]) -> Rim | None:
    """The manifest's values, or ``None`` where one is malformed."""
    meta = signed.find(f"./{SWID}Meta")
    resources = signed.findall(f"./{SWID}Payload/{SWID}Resource")
    if meta is None or len(resources) > INDICES:
        return None
    version, product = meta.get("colloquialVersion", ""), meta.get("product", "")
    kind: Literal["driver", "vbios"] = "vbios" if _VBIOS.fullmatch(version) else "driver"
    if kind == "driver" and not _DRIVER.fullmatch(version):
        return None
    active: dict[int, tuple[bytes, ...]] = {}
    for index, resource in enumerate(resources):
        digests = _digests(resource)
        state = resource.get("active")
        if digests is None or resource.get("index") != str(index) or state not in ("True", "False"):
            return None
        if state == "True":
            active[index] = digests
    if not _PRODUCT.fullmatch(product):
        return None
    return Rim(
        kind=kind,
        product=product,
        version=version,
        active=active,
        certificates=tuple(link.certificate for link in chain),
    )


def _digests(resource: etree._Element) -> tuple[bytes, ...] | None:
    """Hash0 to Hash(n-1) of a resource that announces n alternatives, and no more."""
    announced = resource.get("alternatives", "")
    hashes = {name: value for name, value in resource.attrib.items() if name.startswith(HASH)}
    names = [f"{HASH}{number}" for number in range(len(hashes))]
    if announced != str(len(hashes)) or sorted(hashes) != sorted(names):
        return None
    if not 1 <= len(hashes) <= MAX_ALTERNATIVES or resource.get("type") != "Measurement":
        return None
    if not all(_DIGEST.fullmatch(value) for value in hashes.values()):
        return None
    return tuple(bytes.fromhex(hashes[name]) for name in names)
