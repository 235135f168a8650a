"""A simulated NVIDIA: device and RIM roots, devices that report, and signed manifests.

Everything is built from DSP0274, the DICE extensions and XML Signature by hand, with no code of
the verifier and without signxml, so that the two agree only if both follow the formats.
"""

import base64
import datetime
import hashlib
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2044, 1, 1, tzinfo=datetime.UTC)
NOW = int(datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp())
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
COMPOSITE, TCB_INFO = "2.23.133.5.4.1", "2.23.133.5.4.1.1"
SHA384_OID = bytes.fromhex("0609608648016503040202")
DS = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/2006/12/xml-c14n11"
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b""
    return bytes([tag]) + (head or b"\x82" + size.to_bytes(2, "big")) + body


def fwid_of(digest: bytes) -> bytes:
    return tlv(0x30, SHA384_OID + tlv(0x04, digest))


def composite(public_key, digest: bytes) -> tuple[str, bytes]:
    return COMPOSITE, tlv(
        0x30, b"\x02\x01\x01" + public_key.public_bytes(DER, SPKI) + fwid_of(digest)
    )


def tcb_info(digest: bytes, flags: int = 0x80000001) -> tuple[str, bytes]:
    fields = (
        tlv(0x80, b"SIMULATED"),
        tlv(0x83, b"\x01"),
        tlv(0xA6, fwid_of(digest) + fwid_of(bytes(48))),
        tlv(0x87, b"\0" + flags.to_bytes(4, "big")),
    )
    return TCB_INFO, tlv(0x30, b"".join(fields))


@dataclass(frozen=True)
class Party:
    """A key and its certificate."""

    key: object
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def issue(
    common_name: str,
    issuer: Party | None,
    *,
    authority: bool = True,
    key=None,
    serial: str = "",
    path_length: int | None = None,
    usages: tuple[str, ...] | None = None,
    extensions: tuple[tuple[str, bytes], ...] = (),
    critical: tuple[tuple[str, bytes], ...] = (),
    begin: datetime.datetime = BEGIN,
    end: datetime.datetime = END,
    algorithm: hashes.HashAlgorithm | None = None,
    issuer_name: x509.Name | None = None,
) -> Party:
    """Issue a certificate, with any defect that a test wants."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]
    if serial:
        parts.append(x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial))
    subject = x509.Name(parts)
    if usages is None:
        usages = ("key_cert_sign",) if authority else ("digital_signature",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (issuer.certificate.subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.KeyUsage(**{u: u in usages for u in KEY_USAGES}), critical=True)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    for entries, is_critical in ((extensions, False), (critical, True)):
        for oid, value in entries:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
            builder = builder.add_extension(extension, critical=is_critical)
    signer = issuer.key if issuer else key
    return Party(key, builder.sign(signer, algorithm or hashes.SHA384()))


def raw_signature(key, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def digest_of(label: str) -> bytes:
    return hashlib.sha384(label.encode()).digest()


FWID = digest_of("firmware")
BLOCKS = tuple(digest_of(f"block {index}") for index in range(64))
SWITCH_BLOCKS = BLOCKS[:31]
SWITCHES = (bytes.fromhex("203eb31ad9ed0001"), bytes.fromhex("203eb31ad9ed0002"))
GPU_PDIS = (bytes.fromhex("d1a9a24f202c0001"), bytes.fromhex("d1a9a24f202c0002"))


def gpu_fields(ppcie: bool = False, driver: bytes = b"570.124.06\0") -> dict[int, bytes]:
    """The opaque fields of a GPU with VBIOS 96.00.74.00.1A whose NVDEC0 is fused off."""
    fields = {
        6: bytes.fromhex("007400961a000000"),
        3: driver,
        11: b"\x55",
        20: FWID,
        21: b"\xaa" if ppcie else b"\x55",
        34: b"\1\0",
        36: b"\2\0" if ppcie else b"\1\0",
    }
    if ppcie:
        fields[22] = b"".join(pdi[::-1] for pdi in (*SWITCHES, *SWITCHES))
    return fields


def switch_fields(pdi: bytes) -> dict[int, bytes]:
    return {6: b"96.10.55.00.01", 22: pdi, 20: FWID, 26: b"".join(GPU_PDIS) * 2}


@dataclass(frozen=True)
class Sample:
    """A device's report before it is signed; ``replace`` makes bad ones."""

    leaf: Party
    chain: tuple[Party, ...]
    architecture: str
    nonce: bytes
    blocks: tuple[bytes, ...]
    fields: dict[int, bytes]
    head: bytes = bytes.fromhex("11e001ff")
    answer: bytes = bytes.fromhex("11600000")
    block_head: bytes = bytes.fromhex("013300013000")
    slot: bytes = b"\0"
    first: int = 1
    tail: bytes = b""
    extra_opaque: bytes = b""
    signer: object = field(default=None)

    @property
    def unsigned(self) -> bytes:
        record = b"".join(
            bytes([index]) + self.block_head + block
            for index, block in enumerate(self.blocks, self.first)
        )
        opaque = b"".join(
            kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
            for kind, value in self.fields.items()
        )
        opaque += self.extra_opaque
        return (
            self.head
            + self.nonce
            + self.slot
            + self.answer
            + bytes([len(self.blocks)])
            + len(record).to_bytes(3, "little")
            + record
            + bytes(range(32))
            + len(opaque).to_bytes(2, "little")
            + opaque
        )

    @property
    def report(self) -> bytes:
        unsigned = self.unsigned
        return unsigned + raw_signature(self.signer or self.leaf.key, unsigned) + self.tail

    @property
    def pem(self) -> bytes:
        return b"".join(party.pem for party in (self.leaf, *self.chain))

    def but(self, **changes) -> "Sample":
        return replace(self, **changes)


def resource(index: int, digests: tuple[bytes, ...] | None) -> str:
    values = digests or (bytes(48),)
    hashed = " ".join(f'ns2:Hash{n}="{value.hex()}"' for n, value in enumerate(values))
    return (
        f'<ns0:Resource type="Measurement" index="{index}" active="{digests is not None}" '
        f'alternatives="{len(values)}" {hashed} name="Measurement_{index}" size="48"/>'
    )


def tag(
    version: str, active: dict[int, tuple[bytes, ...]], product: str = "GH100", count: int = 64
) -> bytes:
    """An unsigned SWID tag."""
    rows = "\n        ".join(resource(index, active.get(index)) for index in range(count))
    return f"""<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" \
xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" \
xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="{product}" version="1.0">
    <ns0:Entity name="Simulated" role="softwareCreator tagCreator"/>
    <ns0:Meta colloquialVersion="{version}" edition="GPU" product="{product}"/>
    <ns0:Payload>
        {rows}
    </ns0:Payload>
</SoftwareIdentity>""".encode()


def sign_tag(unsigned: bytes, signer: Party, chain: tuple[Party, ...], *, digest=None) -> bytes:
    """Sign a tag as NVIDIA does: enveloped, C14N 1.1, ECDSA P-384 with SHA-384."""
    canonical = etree.tostring(etree.fromstring(unsigned), method="c14n")
    value = base64.b64encode(digest or hashlib.sha384(canonical).digest()).decode()
    signed_info = (
        f'<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{C14N}"/><ds:SignatureMethod '
        'Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"/><ds:Reference URI="">'
        f'<ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/><ds:Transform '
        f'Algorithm="{C14N}"/></ds:Transforms><ds:DigestMethod '
        'Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"/>'
        f"<ds:DigestValue>{value}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    certificates = "".join(
        "<ds:X509Certificate>"
        + base64.encodebytes(party.certificate.public_bytes(DER)).decode()
        + "</ds:X509Certificate>"
        for party in (signer, *chain)
    )

    def document(signature_value: str) -> bytes:
        signature = (
            f'<ds:Signature xmlns:ds="{DS}">{signed_info}<ds:SignatureValue>{signature_value}'
            f"</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data>"
            "</ds:KeyInfo></ds:Signature></SoftwareIdentity>"
        )
        return unsigned.replace(b"</SoftwareIdentity>", signature.encode())

    info = etree.fromstring(document("")).find(f".//{{{DS}}}SignedInfo")
    over = etree.tostring(info, method="c14n")
    return document(base64.b64encode(raw_signature(signer.key, over)).decode())
