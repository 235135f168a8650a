"""A simulated Intel: root, PCK and TCB signing keys of our own, and quotes signed under them.

The structures are Intel's (SGX PCK Certificate and CRL Profile 1.5, PCS API v4, TDX DCAP Quoting
Library API 1.9: quote formats 3, 4 and 5); keys come from fixed seeds and signatures are
deterministic (RFC 6979), so that ``write_fixtures`` makes the same bytes every time::

    python -m tests.attest.simulated.intel

writes ``tests/attest/simulated/intel/``. No private key is worth anything: each is the SHA-256 of
its name.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parent / "intel"
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
DAY = 86_400
QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
FMSPC = bytes.fromhex("a0b0c0d0e0f0")
PPID = bytes(range(16))
INSTANCE = bytes(range(16, 32))
SGX_OID = "1.2.840.113741.1.13.1"
ORDER = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
SEPT_VE_DISABLE = 1 << 28


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key that ``name`` stands for."""
    secret = int.from_bytes(hashlib.sha256(f"simulated intel {name}".encode()).digest(), "big")
    return ec.derive_private_key(secret % (ORDER - 1) + 1, ec.SECP256R1())


def raw_public(name: str) -> bytes:
    """x ‖ y, as a quote carries it."""
    return key(name).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


@cache
def sign(name: str, message: bytes) -> bytes:
    """r ‖ s over ``message``."""
    der = key(name).sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def when(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def stamp(seconds: int) -> str:
    return when(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- certificates -------------------------------------------------------------------------------


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _oid(dotted: str) -> bytes:
    parts = [int(p) for p in dotted.split(".")]
    body = bytes([parts[0] * 40 + parts[1]])
    for part in parts[2:]:
        piece = [part & 127]
        while part := part >> 7:
            piece.append(part & 127 | 128)
        body += bytes(reversed(piece))
    return der(6, body)


def _entry(tail: str, value: bytes) -> bytes:
    return der(0x30, _oid(f"{SGX_OID}.{tail}") + value)


def _integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True)
class Platform:
    """What a PCK certificate says about its platform."""

    fmspc: bytes = FMSPC
    ppid: bytes = PPID
    instance: bytes | None = INSTANCE
    cpu_svn: bytes = bytes([5] * 8 + [0] * 8)
    pce_svn: int = 13
    sgx_type: int = 1
    dynamic: bool = True
    cached: bool = True
    smt: bool = True

    def extension(self) -> bytes:
        """The SGX extension of the PCK certificate (PCK profile 1.5, section 1.3.5)."""
        svns = b"".join(_entry(f"2.{i + 1}", _integer(s)) for i, s in enumerate(self.cpu_svn))
        tcb = svns + _entry("2.17", _integer(self.pce_svn)) + _entry("2.18", der(4, self.cpu_svn))
        flags = (self.dynamic, self.cached, self.smt)
        setup = b"".join(
            _entry(f"7.{i + 1}", der(1, b"\xff" if flag else b"\0")) for i, flag in enumerate(flags)
        )
        body = (
            _entry("1", der(4, self.ppid))
            + _entry("2", der(0x30, tcb))
            + _entry("3", der(4, bytes(2)))
            + _entry("4", der(4, self.fmspc))
            + _entry("5", der(0x0A, bytes([self.sgx_type])))
        )
        if self.instance is not None:
            body += _entry("6", der(4, self.instance)) + _entry("7", der(0x30, setup))
        return der(0x30, body)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated Intel (test only)"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )


@cache
def certificate(
    subject: str,
    issuer: str,
    *,
    ca: int | None = None,
    not_before: int = NOW - 400 * DAY,
    not_after: int = NOW + 2000 * DAY,
    platform: Platform | None = None,
    serial: int = 0,
    subject_key: str = "",
    issuer_key: str = "",
) -> x509.Certificate:
    """A certificate whose keys are those of the names, unless said otherwise."""
    own = key(subject_key or subject).public_key()
    signer = key(issuer_key or issuer)
    number = serial or int.from_bytes(hashlib.sha256(f"{subject}{platform}".encode()).digest()[:8])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(own)
        .serial_number(number)
        .not_valid_before(when(not_before))
        .not_valid_after(when(not_after))
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.CRLDistributionPoints(
                [
                    x509.DistributionPoint(
                        [x509.UniformResourceIdentifier("https://simulated.invalid/root.crl")],
                        None,
                        None,
                        None,
                    )
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(_usage(ca is not None), critical=True)
        .add_extension(x509.BasicConstraints(ca is not None, ca), critical=True)
    )
    if platform is not None:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_OID), platform.extension())
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@cache
def revocations(
    issuer: str,
    serials: tuple[int, ...] = (),
    *,
    issued: int = NOW - DAY,
    until: int = NOW + 29 * DAY,
    issuer_key: str = "",
) -> bytes:
    """A CRL of ``issuer`` in DER."""
    signer = key(issuer_key or issuer)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer))
        .last_update(when(issued))
        .next_update(when(until))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(when(issued))
            .build()
        )
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(
        Encoding.DER
    )


ROOT, PCK_CA, SIGNING, PCK = (
    "Intel SGX Root CA",
    "Intel SGX PCK Platform CA",
    "Intel SGX TCB Signing",
    "Intel SGX PCK Certificate",
)


def root_certificate() -> x509.Certificate:
    return certificate(ROOT, ROOT, ca=1)


def root_der() -> bytes:
    return root_certificate().public_bytes(Encoding.DER)


def chain(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


# -- collateral ---------------------------------------------------------------------------------


def _components(*svns: int) -> list[dict[str, int]]:
    return [{"svn": s} for s in svns] + [{"svn": 0}] * (16 - len(svns))


def tcb_info(kind: str = "TDX", **changes: object) -> str:
    """TCB info as Intel's PCS (v4) returns it, for ``kind`` TDX or SGX."""
    level = {"sgxtcbcomponents": _components(*[5] * 8), "pcesvn": 13}
    older = {"sgxtcbcomponents": _components(*[4] * 8), "pcesvn": 13}
    body: dict[str, object] = {
        "id": kind,
        "version": 3,
        "issueDate": stamp(NOW - DAY),
        "nextUpdate": stamp(NOW + 29 * DAY),
        "fmspc": FMSPC.hex().upper(),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 18,
    }
    if kind == "TDX":
        level["tdxtcbcomponents"] = _components(5, 0, 3)
        older["tdxtcbcomponents"] = _components(4, 0, 2)
        module = {
            "mrsigner": "00" * 48,
            "attributes": "00" * 8,
            "attributesMask": "FF" * 8,
        }
        levels = [
            {"tcb": {"isvsvn": 5}, "tcbDate": stamp(NOW - 90 * DAY), "tcbStatus": "UpToDate"},
            {"tcb": {"isvsvn": 4}, "tcbDate": stamp(NOW - 400 * DAY), "tcbStatus": "OutOfDate"},
        ]
        body["tdxModule"] = module
        body["tdxModuleIdentities"] = [{"id": "TDX_01", **module, "tcbLevels": levels}]
    body["tcbLevels"] = [
        {"tcb": level, "tcbDate": stamp(NOW - 90 * DAY), "tcbStatus": "UpToDate"},
        {
            "tcb": older,
            "tcbDate": stamp(NOW - 400 * DAY),
            "tcbStatus": "OutOfDate",
            "advisoryIDs": ["INTEL-SA-00001"],
        },
    ]
    return json.dumps(body | changes, separators=(",", ":"))


def qe_identity(kind: str = "TDX", **changes: object) -> str:
    """The identity of the quoting enclave that ``qe_report`` satisfies."""
    body = {
        "id": "TD_QE" if kind == "TDX" else "QE",
        "version": 2,
        "issueDate": stamp(NOW - DAY),
        "nextUpdate": stamp(NOW + 29 * DAY),
        "tcbEvaluationDataNumber": 18,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": "AB" * 32,
        "isvprodid": 2,
        "tcbLevels": [
            {"tcb": {"isvsvn": 4}, "tcbDate": stamp(NOW - 90 * DAY), "tcbStatus": "UpToDate"},
            {"tcb": {"isvsvn": 3}, "tcbDate": stamp(NOW - 400 * DAY), "tcbStatus": "OutOfDate"},
        ],
    }
    return json.dumps(body | changes, separators=(",", ":"))


def collateral(
    kind: str = "TDX", info: str = "", identity: str = "", **changes: bytes
) -> dict[str, bytes]:
    """The nine parts of collateral; ``changes`` replace some."""
    info, identity = info or tcb_info(kind), identity or qe_identity(kind)
    issuer = chain(certificate(SIGNING, ROOT), root_certificate())
    return {
        "pck_crl_issuer_chain": chain(certificate(PCK_CA, ROOT, ca=0), root_certificate()),
        "root_ca_crl": revocations(ROOT),
        "pck_crl": revocations(PCK_CA),
        "tcb_info_issuer_chain": issuer,
        "tcb_info": info.encode(),
        "tcb_info_signature": sign(SIGNING, info.encode()),
        "qe_identity_issuer_chain": issuer,
        "qe_identity": identity.encode(),
        "qe_identity_signature": sign(SIGNING, identity.encode()),
    } | changes


# -- quotes -------------------------------------------------------------------------------------


def enclave_report(**changes: bytes | int) -> bytes:
    """An SGX report body, 384 bytes (Intel SDM vol. 3D, REPORT)."""
    f: dict[str, bytes | int] = {
        "cpu_svn": bytes([5] * 8 + [0] * 8),
        "misc_select": 0,
        "reserved1": bytes(28),
        "attributes": bytes.fromhex("0500000000000000e700000000000000"),
        "mr_enclave": bytes([0xE1] * 32),
        "reserved2": bytes(32),
        "mr_signer": bytes([0x51] * 32),
        "reserved3": bytes(96),
        "isv_prod_id": 7,
        "isv_svn": 3,
        "reserved4": bytes(60),
        "report_data": bytes([0xDA] * 64),
    } | changes
    return struct.pack("<16sI28s16s32s32s32s96sHH60s64s", *f.values())


def qe_report(binding: bytes, **changes: bytes | int) -> bytes:
    """The quoting enclave's report over ``binding``."""
    f: dict[str, bytes | int] = {
        "attributes": bytes.fromhex("1500000000000000e700000000000000"),
        "mr_signer": bytes([0xAB] * 32),
        "isv_prod_id": 2,
        "isv_svn": 6,
        "report_data": binding,
    }
    return enclave_report(**(f | changes))


@dataclass(frozen=True)
class Td:
    """The fields of a TD report; the tail is there in version 1.5 only."""

    tee_tcb_svn: bytes = bytes([5, 1, 3]) + bytes(13)
    mr_seam: bytes = bytes([0x5E] * 48)
    mr_signer_seam: bytes = bytes(48)
    seam_attributes: bytes = bytes(8)
    attributes: int = SEPT_VE_DISABLE
    xfam: int = 0x602E7
    mr_td: bytes = bytes([0x7D] * 48)
    mr_config_id: bytes = bytes([0xC1] * 48)
    mr_owner: bytes = bytes([0x0E] * 48)
    mr_owner_config: bytes = bytes([0x0C] * 48)
    rtmr: tuple[bytes, bytes, bytes, bytes] = tuple(bytes([0xA0 + i] * 48) for i in range(4))  # type: ignore[assignment]
    report_data: bytes = bytes([0xDA] * 64)
    tee_tcb_svn2: bytes = bytes([5, 1, 3]) + bytes(13)
    mr_service_td: bytes = bytes(48)

    def body(self, version15: bool) -> bytes:
        base = (
            self.tee_tcb_svn
            + self.mr_seam
            + self.mr_signer_seam
            + self.seam_attributes
            + struct.pack("<QQ", self.attributes, self.xfam)
            + self.mr_td
            + self.mr_config_id
            + self.mr_owner
            + self.mr_owner_config
            + b"".join(self.rtmr)
            + self.report_data
        )
        return base + self.tee_tcb_svn2 + self.mr_service_td if version15 else base


@dataclass(frozen=True)
class Quote:
    """How to make a quote; every field is a place at which a bad one may differ."""

    version: int = 4
    body: bytes = b""
    body_type: int = 2
    key_type: int = 2
    tee_type: int = 0x81
    header_reserved: bytes = bytes(4)
    qe_vendor: bytes = QE_VENDOR
    platform: Platform = field(default_factory=Platform)
    pck: dict[str, object] = field(default_factory=dict)
    certificates: tuple[x509.Certificate, ...] | None = None
    chain_text: bytes | None = None
    qe: dict[str, bytes | int] = field(default_factory=dict)
    qe_auth: bytes = bytes(range(32))
    attestation_key: str = "attestation key"
    signed_by: str = "attestation key"
    qe_signed_by: str = PCK
    certification_type: int = 5
    outer_type: int = 6
    signature: bytes | None = None
    padding: bytes = b""

    def pck_chain(self) -> tuple[x509.Certificate, ...]:
        if self.certificates is not None:
            return self.certificates
        leaf = certificate(PCK, PCK_CA, platform=self.platform, **self.pck)  # type: ignore[arg-type]
        return leaf, certificate(PCK_CA, ROOT, ca=0), root_certificate()

    def encode(self) -> bytes:
        header = (
            struct.pack("<HHI", self.version, self.key_type, self.tee_type)
            + self.header_reserved
            + self.qe_vendor
            + bytes(range(20))
        )
        if self.version == 5:
            header += struct.pack("<HI", self.body_type, len(self.body))
        signed = header + self.body
        public = raw_public(self.attestation_key)
        binding = hashlib.sha256(public + self.qe_auth).digest() + bytes(32)
        report = qe_report(binding, **self.qe)
        text = self.chain_text
        if text is None:
            text = chain(*self.pck_chain()) + b"\0"
        inner = (
            report
            + sign(self.qe_signed_by, report)
            + struct.pack("<H", len(self.qe_auth))
            + self.qe_auth
            + struct.pack("<HI", self.certification_type, len(text))
            + text
        )
        if self.version > 3:
            inner = struct.pack("<HI", self.outer_type, len(inner)) + inner
        signature = self.signature if self.signature is not None else sign(self.signed_by, signed)
        auth = signature + public + inner
        return signed + struct.pack("<I", len(auth)) + auth + self.padding


def tdx(td: Td | None = None, *, version: int = 4, **changes: object) -> bytes:
    """A TDX quote: version 4 with a 1.0 body, version 5 with a 1.5 body."""
    new = version == 5
    made = Quote(version=version, body=(td or Td()).body(new), body_type=3 if new else 2)
    return replace(made, **changes).encode()  # type: ignore[arg-type]


def sgx(report: bytes | None = None, **changes: object) -> bytes:
    """An SGX quote of version 3."""
    made = Quote(version=3, tee_type=0, body=report or enclave_report())
    return replace(made, **changes).encode()  # type: ignore[arg-type]


def as_json(parts: dict[str, bytes]) -> bytes:
    """Collateral in the form in which PCS clients keep it: binary parts as hex."""
    binary = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
    fields = {k: v.hex() if k in binary else v.decode() for k, v in parts.items()}
    return json.dumps(fields, indent=1).encode()


def fixtures() -> dict[str, bytes]:
    """The committed files: name to content."""
    return {
        "root.der": root_der(),
        "tdx_v4.bin": tdx(),
        "tdx_v5.bin": tdx(version=5),
        "sgx_v3.bin": sgx(),
        "tdx_collateral.json": as_json(collateral("TDX")),
        "sgx_collateral.json": as_json(collateral("SGX")),
    }


def write_fixtures(folder: Path = FOLDER) -> None:
    """Write every file of ``fixtures`` into ``folder``."""
    folder.mkdir(exist_ok=True)
    for name, content in fixtures().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write_fixtures()
