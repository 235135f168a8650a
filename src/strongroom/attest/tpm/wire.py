"""Read the TPM's structures: TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC (TPM 2.0 Library, part 2).

Everything is big-endian; nothing may follow a structure. Each reader returns ``None`` for what is
not framed as required, and the caller refuses it with its own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC = 0xFF544347
QUOTE = 0x8018
SHA256, SHA384, SHA512 = 0x000B, 0x000C, 0x000D
RSA, ECC, NULL = 0x0001, 0x0023, 0x0010
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018
CURVES: dict[int, ec.EllipticCurve] = {0x0003: ec.SECP256R1(), 0x0004: ec.SECP384R1()}
HASHES = {SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
MAX_SELECTIONS = 16

Scheme = Literal["rsassa", "rsapss", "ecdsa"]
SCHEMES: dict[int, Scheme] = {RSASSA: "rsassa", RSAPSS: "rsapss", ECDSA: "ecdsa"}


@dataclass(frozen=True, slots=True)
class Attest:
    """A TPMS_ATTEST whose attested part is a TPMS_QUOTE_INFO, or is left raw for other types.

    ``selections`` pairs a bank's hash algorithm with its PCR numbers.
    """

    magic: int
    type: int
    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: int
    firmware: int
    selections: tuple[tuple[int, tuple[int, ...]], ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """A scheme, the hash it is over, and the value: DER for ECDSA, else the RSA octets."""

    scheme: Scheme
    hash: str
    value: bytes


class Reader:
    """Takes fields off a buffer. Past the end every read gives ``ValueError``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size > len(self._data) - self._at:
            raise ValueError("runs over the end")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int, order: Literal["big", "little"] = "big") -> int:
        """An unsigned number of ``size`` bytes."""
        return int.from_bytes(self.take(size), order)

    def sized(self) -> bytes:
        """A TPM2B: two bytes of length and so many bytes."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise ValueError("bytes left over")

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at


def read_attest(message: bytes) -> Attest | None:
    """A TPMS_ATTEST (part 2, section 10.12.12); the attested part only of quotes."""
    try:
        reader = Reader(message)
        magic, kind = reader.number(4), reader.number(2)
        signer, extra = reader.sized(), reader.sized()
        clock, resets, restarts, safe = (reader.number(size) for size in (8, 4, 4, 1))
        firmware = reader.number(8)
        selections: tuple[tuple[int, tuple[int, ...]], ...] = ()
        digest = b""
        if kind == QUOTE:
            selections, digest = _selections(reader), reader.sized()
            reader.end()
    except ValueError:
        return None
    return Attest(
        magic=magic,
        type=kind,
        qualified_signer=signer,
        extra_data=extra,
        clock=clock,
        reset_count=resets,
        restart_count=restarts,
        safe=safe,
        firmware=firmware,
        selections=selections,
        digest=digest,
    )


def _selections(reader: Reader) -> tuple[tuple[int, tuple[int, ...]], ...]:
    count = reader.number(4)
    if count > MAX_SELECTIONS:
        raise ValueError("too many selections")
    found = []
    for _ in range(count):
        algorithm, bitmap = reader.number(2), reader.take(reader.number(1))
        bits = int.from_bytes(bitmap, "little")
        found.append((algorithm, tuple(n for n in range(8 * len(bitmap)) if bits >> n & 1)))
    return tuple(found)


def read_signature(data: bytes) -> Signature | None:
    """A TPMT_SIGNATURE (part 2, section 11.3.4) of RSASSA, RSAPSS or ECDSA."""
    try:
        reader = Reader(data)
        scheme, algorithm = SCHEMES[reader.number(2)], HASHES[reader.number(2)]
        if scheme == "ecdsa":
            r, s = (int.from_bytes(reader.sized(), "big") for _ in range(2))
            value = encode_dss_signature(r, s)
        else:
            value = reader.sized()
        reader.end()
    except (ValueError, KeyError):
        return None
    return Signature(scheme, algorithm, value)


@dataclass(frozen=True, slots=True)
class PublicArea:
    """A TPMT_PUBLIC: name algorithm, object attributes and the key as SubjectPublicKeyInfo."""

    name_algorithm: int
    attributes: int
    key: bytes


def read_public(data: bytes) -> PublicArea | None:
    """A TPMT_PUBLIC (part 2, section 12.2.4) of an RSA or ECC signing key."""
    try:
        reader = Reader(data)
        kind, name_algorithm, attributes = reader.number(2), reader.number(2), reader.number(4)
        reader.sized()  # the policy that authorises use; the key's name covers it
        if reader.number(2) != NULL:
            raise ValueError("a signing key has no symmetric algorithm")
        if reader.number(2) != NULL:
            reader.number(2)
        key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
        if kind == RSA:
            reader.number(2)
            exponent = reader.number(4) or 65537
            key = rsa.RSAPublicNumbers(exponent, int.from_bytes(reader.sized(), "big")).public_key()
        elif kind == ECC:
            curve = CURVES[reader.number(2)]
            if reader.number(2) != NULL:
                raise ValueError("a signing key has no key derivation")
            x, y = (int.from_bytes(reader.sized(), "big") for _ in range(2))
            key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        else:
            raise ValueError("key type")
        reader.end()
    except (ValueError, KeyError):
        return None
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicArea(name_algorithm, attributes, spki)
