"""A simulated TPM and its manufacturer: quotes, public areas, certificates and event logs.

Built from the TPM 2.0 Library and the PC Client profile by hand, with no code of the verifier.
"""

import datetime
import hashlib
import struct
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2044, 1, 1, tzinfo=datetime.UTC)
NOW = int(datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp())
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
EK_PURPOSE, AK_PURPOSE = "2.23.133.8.1", "2.23.133.8.3"
AK_ATTRIBUTES = 0x00050072
SHA1, SHA256, SHA384 = 4, 11, 12
NONCE = bytes(range(32))


def sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def pcr_value(number: int) -> bytes:
    return hashlib.sha256(b"pcr %d" % number).digest()


PCRS = {number: pcr_value(number) for number in range(8)}


def selection(bank: int, numbers) -> bytes:
    bits = sum(1 << number for number in numbers)
    return struct.pack(">HB", bank, 3) + bits.to_bytes(3, "little")


@dataclass(frozen=True)
class Sample:
    """A quote before it is signed; ``replace`` makes bad ones."""

    key: object
    pcrs: dict[int, bytes] = field(default_factory=lambda: dict(PCRS))
    magic: int = 0xFF544347
    type: int = 0x8018
    nonce: bytes = NONCE
    resets: int = 7
    safe: int = 1
    banks: bytes | None = None
    count: int = 1
    digest: bytes | None = None
    tail: bytes = b""
    scheme: str = ""
    hash: int = SHA256

    @property
    def message(self) -> bytes:
        values = b"".join(value for _, value in sorted(self.pcrs.items()))
        algorithm = {SHA256: hashlib.sha256, SHA384: hashlib.sha384}[self.hash]
        return (
            struct.pack(">IH", self.magic, self.type)
            + sized(b"\0\x0b" + bytes(32))
            + sized(self.nonce)
            + struct.pack(">QIIB", 123456, self.resets, 0, self.safe)
            + bytes(8)
            + struct.pack(">I", self.count)
            + (selection(SHA256, self.pcrs) if self.banks is None else self.banks)
            + sized(algorithm(values).digest() if self.digest is None else self.digest)
            + self.tail
        )

    @property
    def signature(self) -> bytes:
        digest = {SHA1: hashes.SHA1(), SHA256: hashes.SHA256(), SHA384: hashes.SHA384()}[self.hash]
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.key.sign(self.message, ec.ECDSA(digest)))
            size = (self.key.key_size + 7) // 8
            numbers = sized(r.to_bytes(size, "big")) + sized(s.to_bytes(size, "big"))
            return struct.pack(">HH", 0x18, self.hash) + numbers
        if self.scheme == "rsapss":
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return struct.pack(">HH", 0x16, self.hash) + sized(
                self.key.sign(self.message, pss, digest)
            )
        return struct.pack(">HH", 0x14, self.hash) + sized(
            self.key.sign(self.message, padding.PKCS1v15(), digest)
        )

    def but(self, **changes) -> "Sample":
        return replace(self, **changes)


def public_area(key, attributes: int = AK_ATTRIBUTES, name_algorithm: int = SHA256) -> bytes:
    """A TPMT_PUBLIC of a P-256 (ECDSA, SHA-256) or RSA (RSASSA, SHA-256) key."""
    numbers = key.public_key().public_numbers()
    is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
    head = struct.pack(">HHI", 0x23 if is_ec else 1, name_algorithm, attributes) + sized(bytes(32))
    if is_ec:
        parameters = struct.pack(">HHHHH", 0x10, 0x18, SHA256, 3, 0x10)
        return (
            head
            + parameters
            + b"".join(sized(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        )
    parameters = struct.pack(">HHHHI", 0x10, 0x14, SHA256, key.key_size, 0)
    return head + parameters + sized(numbers.n.to_bytes(key.key_size // 8, "big"))


@dataclass(frozen=True)
class Party:
    """A key and its certificate."""

    key: object
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()


def spki(key) -> bytes:
    return key.public_key().public_bytes(DER, SPKI)


def issue(
    common_name: str,
    issuer: Party | None,
    public_key,
    key=None,
    *,
    purpose: str = "",
    authority: bool | None = None,
    path_length: int | None = None,
    may_sign: bool = True,
    begin: datetime.datetime = BEGIN,
    end: datetime.datetime = END,
    algorithm=None,
    critical: tuple[tuple[str, bytes], ...] = (),
) -> Party:
    """Issue a certificate with any defect that a test wants; an authority if it has no purpose."""
    is_authority = not purpose if authority is None else authority
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(
            x509.BasicConstraints(is_authority, path_length if is_authority else None), True
        )
        .add_extension(
            x509.KeyUsage(
                not is_authority,
                False,
                False,
                False,
                False,
                is_authority and may_sign,
                False,
                False,
                False,
            ),
            True,
        )
    )
    if purpose:
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
        builder = builder.add_extension(usage, False)
    for oid, value in critical:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, True)
    signer = issuer.key if issuer else key
    return Party(key, builder.sign(signer, algorithm or hashes.SHA256()))


def event(pcr: int, kind: int, digest: bytes, data: bytes, *, sha1: bool = True) -> bytes:
    """A TCG_PCR_EVENT2 with a SHA-1 (zero) and a SHA-256 digest."""
    digests = struct.pack("<H", SHA1) + bytes(20) if sha1 else b""
    digests += struct.pack("<H", SHA256) + digest
    head = struct.pack("<III", pcr, kind, 2 if sha1 else 1)
    return head + digests + struct.pack("<I", len(data)) + data


def log_head(
    algorithms=((SHA1, 20), (SHA256, 32)), signature: bytes = b"Spec ID Event03\0"
) -> bytes:
    data = signature + bytes(4) + b"\0\2\0\2" + struct.pack("<I", len(algorithms))
    data += b"".join(struct.pack("<HH", *entry) for entry in algorithms) + b"\0"
    return struct.pack("<II", 0, 3) + bytes(20) + struct.pack("<I", len(data)) + data


SEPARATOR = bytes(4)
EVENTS = (
    (0, 0x00000008, hashlib.sha256(b"firmware").digest(), b"version 1"),
    (7, 0x80000001, hashlib.sha256(b"SecureBoot=1").digest(), b"SecureBoot=1"),
    (0, 0x00000004, hashlib.sha256(SEPARATOR).digest(), SEPARATOR),
    (7, 0x00000004, hashlib.sha256(SEPARATOR).digest(), SEPARATOR),
)


def log(events=EVENTS, locality: int = 0) -> bytes:
    first = event(0, 3, bytes(32), b"StartupLocality\0" + bytes([locality])) if locality else b""
    return log_head() + first + b"".join(event(*entry) for entry in events)


def logged_pcrs(events=EVENTS, locality: int = 0) -> dict[int, bytes]:
    """What the log leads to, for PCRs 0 and 7; the others as ever."""
    values = {**PCRS, 0: bytes(31) + bytes([locality]), 7: bytes(32)}
    for pcr, _, digest, _ in events:
        values[pcr] = hashlib.sha256(values[pcr] + digest).digest()
    return values
