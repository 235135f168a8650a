"""A simulated AMD: roots, intermediates, chips, a cloud, and the reports that their keys sign.

Everything is as AMD makes it (RSA-4096 with PSS, P-384, the extensions under 1.3.6.1.4.1.3704.1),
except that the roots are ours: a verifier accepts them only where a test pins them. The RSA keys
stand in ``amd_keys/`` because they cannot be derived; they guard nothing. ``amd_fixtures/`` holds
one good chain and report a product and kind of key.

Write both again: ``python -m tests.attest.simulated.amd`` from the checkout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256, sha384
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
KEYS, FIXTURES = HERE / "amd_keys", HERE / "amd_fixtures"
NOW = 1_790_000_000
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
PRODUCTS = ("Milan", "Genoa", "Turin")
CPUID = {"Milan": (0x19, 0x01, 0x01), "Genoa": (0x19, 0x11, 0x01), "Turin": (0x1A, 0x02, 0x01)}
TCB = {
    "Milan": bytes([4, 0, 0, 0, 0, 0, 24, 0xDB]),
    "Genoa": bytes([10, 0, 0, 0, 0, 0, 23, 0x54]),
    "Turin": bytes([1, 2, 1, 4, 0, 0, 0, 0x4B]),
}
ARCS = {
    "Milan": (1, 2, 4, 5, 6, 7, 3, 8),
    "Genoa": (1, 2, 4, 5, 6, 7, 3, 8),
    "Turin": (9, 1, 2, 3, 5, 6, 7, 8),
}
OID = "1.3.6.1.4.1.3704.1"
CSP = "CN=cc-simulated.example"
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
DIGEST = hashes.SHA384()


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """``ark``, ``ask``, ``asvk`` or ``attacker``; products share them, so that names must tell."""
    key = serialization.load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@cache
def chip_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A chip's or cloud's P-384 key, derived from its name."""
    return ec.derive_private_key(
        int.from_bytes(sha384(name.encode()).digest()) >> 1, ec.SECP384R1()
    )


def hwid(product: str) -> bytes:
    return (
        sha384(product.encode())
        .digest()[: 8 if product == "Turin" else 48]
        .ljust(8 if product == "Turin" else 64, b"\x5a")
    )


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated Micro Devices"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


@cache
def authority(
    common: str,
    key: str,
    issuer: str,
    issuer_key: str,
    *,
    serial: int = 7,
    depth: int | None = 0,
    ca: bool = True,
    critical: bool = False,
    end: datetime = END,
    signs: bool = True,
) -> bytes:
    """An ARK's, ASK's or ASVK's certificate, DER."""
    usage = dict.fromkeys(
        [
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
            "key_agreement", "encipher_only", "decipher_only",
        ],
        False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(name(issuer))
        .serial_number(serial)
        .public_key(rsa_key(key).public_key())
        .not_valid_before(START)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, depth if ca else None), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, key_cert_sign=signs, crl_sign=depth is None), critical=True
        )
    )
    if critical:
        builder = builder.add_extension(_raw("1.2.3.4", b"\x05\x00"), critical=True)
    return _sign(builder, rsa_key(issuer_key))


def ark(product: str, **changes: object) -> bytes:
    settings = {"key": "ark", "issuer_key": "ark", "depth": None, **changes}
    return authority(f"ARK-{product}", issuer=f"ARK-{product}", **settings)  # type: ignore[arg-type]


def ask(product: str, **changes: object) -> bytes:
    settings = {"key": "ask", "issuer": f"ARK-{product}", "issuer_key": "ark", **changes}
    common = str(settings.pop("common", f"SEV-{product}"))
    return authority(common, **settings)  # type: ignore[arg-type]


def asvk(product: str, **changes: object) -> bytes:
    return ask(product, **{"key": "asvk", "common": f"SEV-VLEK-{product}", **changes})


@dataclass(frozen=True)
class Leaf:
    """What a VCEK's or VLEK's certificate says."""

    product: str
    kind: str = "VCEK"
    product_name: str = ""
    tcb: bytes = b""
    hwid: bytes | None = None
    csp: str | None = CSP
    key: str = "chip"
    common: str = ""
    issuer: str = ""
    issuer_key: str = ""
    end: datetime = END
    critical: bool = False

    def der(self) -> bytes:
        return _leaf(self)


@cache
def _leaf(leaf: Leaf) -> bytes:
    product, vlek = leaf.product, leaf.kind == "VLEK"
    issuer = f"SEV-VLEK-{product}" if vlek else f"SEV-{product}"
    stepping = "-B0" if product == "Milan" and not vlek else ""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(leaf.common or f"SEV-{leaf.kind}"))
        .issuer_name(name(leaf.issuer or issuer))
        .serial_number(1)
        .public_key(chip_key(leaf.key).public_key())
        .not_valid_before(START)
        .not_valid_after(leaf.end)
        .add_extension(_raw(f"{OID}.1", b"\x02\x01\x00"), critical=False)
        .add_extension(_raw(f"{OID}.2", _ia5(leaf.product_name or product + stepping)), False)
    )
    for arc, part in zip(ARCS[product], leaf.tcb or TCB[product], strict=True):
        number = b"\x02\x02\x00" if part > 127 else b"\x02\x01"
        builder = builder.add_extension(_raw(f"{OID}.3.{arc}", number + bytes([part])), False)
    chip = hwid(product) if leaf.hwid is None else leaf.hwid
    if chip and not vlek:
        builder = builder.add_extension(_raw(f"{OID}.4", chip), False)
    if vlek and leaf.csp is not None:
        builder = builder.add_extension(_raw(f"{OID}.5", _ia5(leaf.csp)), False)
    if leaf.critical:
        builder = builder.add_extension(_raw("1.2.3.4", b"\x05\x00"), critical=True)
    return _sign(builder, rsa_key(leaf.issuer_key or ("asvk" if vlek else "ask")))


@cache
def crl(
    product: str,
    *,
    issuer: str = "",
    key: str = "ark",
    revoked: tuple[int, ...] = (),
    days: int = 30,
) -> bytes:
    """A revocation list of the product's ARK, made a day before ``NOW``."""
    made = datetime.fromtimestamp(NOW, UTC) - timedelta(days=1)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer or f"ARK-{product}"))
        .last_update(made - timedelta(days=400))
        .next_update(made + timedelta(days=days))
        .add_extension(x509.CRLNumber(3), critical=False)
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(rsa_key(key), DIGEST, rsa_padding=PSS)
    return signed.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Fields:
    """A report's fields; the defaults make a good report of a VCEK."""

    product: str
    version: int = 3
    guest_svn: int = 2
    policy: int = 0x20000
    vmpl: int = 0
    algorithm: int = 1
    current: bytes = b""
    platform: int = 0x2D
    key_info: int = 0
    report_data: bytes = sha384(b"challenge").digest() + bytes(16)
    measurement: bytes = sha384(b"image").digest()
    host_data: bytes = sha256(b"host").digest()
    id_key: bytes = sha384(b"id key").digest()
    author_key: bytes = sha384(b"author key").digest()
    reported: bytes = b""
    cpuid: tuple[int, int, int] | None = None
    chip: bytes | None = None
    committed: bytes = b""
    builds: bytes = bytes([40, 55, 1, 0, 40, 55, 1, 0])
    launch: bytes = b""
    reserved: int = 0
    key: str = "chip"
    extra: dict[str, bytes] = field(default_factory=dict)

    def body(self) -> bytes:
        tcb = TCB[self.product]
        chip = hwid(self.product) if self.chip is None else self.chip
        head = struct.pack(
            "<IIQ32xII8sQII64s48s32s48s48s32s32s8s3B21x64s8s8s8s",
            self.version, self.guest_svn, self.policy, self.vmpl, self.algorithm,
            self.current or tcb, self.platform, self.key_info, self.reserved, self.report_data,
            self.measurement, self.host_data, self.id_key, self.author_key,
            sha256(b"id").digest(), b"\xff" * 32, self.reported or tcb,
            *(self.cpuid or CPUID[self.product]), chip.ljust(64, b"\0"), self.committed or tcb,
            self.builds, self.launch or tcb,
        )  # fmt: skip
        return head.ljust(0x2A0, b"\0")

    def report(self) -> bytes:
        """The report, signed by the chip's (or another) key."""
        body = self.body()
        r, s = decode_dss_signature(chip_key(self.key).sign(body, ec.ECDSA(DIGEST)))
        return body + b"".join(v.to_bytes(72, "little") for v in (r, s)) + bytes(368)


@dataclass(frozen=True)
class Case:
    """A report with the chain beside it."""

    report: bytes
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...] = ()

    def but(self, **changes: object) -> Case:
        return replace(self, **changes)  # type: ignore[arg-type]


def roots() -> dict[str, str]:
    """The simulated roots, to pin in a test."""
    return {product: sha256(load(product, "ark")).hexdigest() for product in PRODUCTS}


def load(product: str, part: str) -> bytes:
    """A committed fixture."""
    return (FIXTURES / product.lower() / part).with_suffix(".bin").read_bytes()


def good(product: str, kind: str = "VCEK") -> Case:
    """The committed report and chain of a product's chip (``VCEK``) or cloud (``VLEK``)."""
    authority_name = "ask" if kind == "VCEK" else "asvk"
    names = (kind.lower(), authority_name, "ark")
    return Case(
        load(product, f"{kind.lower()}_report"), tuple(load(product, part) for part in names)
    )


def vlek_fields(product: str) -> Fields:
    """What a cloud's report says: VMPL 1 and no chip, as on AWS."""
    return Fields(product, key_info=1 << 2, vmpl=1, chip=bytes(64), key="cloud")


def _sign(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> bytes:
    signed = builder.sign(key, DIGEST, rsa_padding=PSS)
    return signed.public_bytes(serialization.Encoding.DER)


def _raw(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def _ia5(text: str) -> bytes:
    return bytes([0x16, len(text)]) + text.encode("ascii")


def write() -> None:
    """Make keys where there are none, and write the fixtures."""
    KEYS.mkdir(exist_ok=True)
    for part in ("ark", "ask", "asvk", "attacker"):
        if not (KEYS / f"{part}.pem").exists():
            key = rsa.generate_private_key(65537, 4096)
            text = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            (KEYS / f"{part}.pem").write_bytes(text)
    for product in PRODUCTS:
        folder = FIXTURES / product.lower()
        folder.mkdir(parents=True, exist_ok=True)
        made = {
            "ark": ark(product),
            "ask": ask(product),
            "asvk": asvk(product),
            "vcek": Leaf(product).der(),
            "vlek": Leaf(product, "VLEK", key="cloud").der(),
            "vcek_report": Fields(product).report(),
            "vlek_report": vlek_fields(product).report(),
            "crl": crl(product),
        }
        for part, raw in made.items():
            (folder / f"{part}.bin").write_bytes(raw)


if __name__ == "__main__":
    write()
