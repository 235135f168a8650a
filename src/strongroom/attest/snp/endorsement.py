"""What the certificate of a report's key says: product, TCB, and chip (VCEK) or cloud (VLEK).

Source: AMD 57230, tables 8 (VCEK) and 9 (VLEK): extensions under ``1.3.6.1.4.1.3704.1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest import der
from strongroom.attest.certificates import Certificate, read, read_public_key
from strongroom.attest.snp.products import LAYOUTS, TCB_OID

PRODUCT, HWID, CSP = (f"1.3.6.1.4.1.3704.1.{arc}" for arc in (2, 4, 5))
KINDS = {"SEV-VCEK": "VCEK", "SEV-VLEK": "VLEK"}
_ECDSA = ec.ECDSA(hashes.SHA384())


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A VCEK's or VLEK's certificate.

    ``signing_key`` and ``product`` are empty where the certificate names none that is known, and
    ``tcb`` then too. ``hwid`` is ``None`` and ``csp`` empty where absent.
    """

    certificate: Certificate
    key: ec.EllipticCurvePublicKey
    signing_key: str
    product: str
    tcb: bytes
    hwid: bytes | None
    csp: str

    def signed(self, signature: bytes, body: bytes) -> bool:
        """Whether the key made this signature over ``body`` (ECDSA, P-384, SHA-384)."""
        try:
            self.key.verify(signature, body, _ECDSA)
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=1024)
def read_endorsement(raw: bytes) -> Endorsement:
    """Read the certificate of a report's key; remembered by its bytes.

    Raises:
        ValueError: it is no certificate, has no P-384 key, or an extension of AMD is malformed.
    """
    certificate = read(raw)
    key = read_public_key(certificate.public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("not a P-384 key")
    name = _text(certificate, PRODUCT).partition("-")[0]
    product = name if name in LAYOUTS else ""
    return Endorsement(
        certificate=certificate,
        key=key,
        signing_key=KINDS.get(certificate.common_name, ""),
        product=product,
        tcb=_tcb(certificate, product),
        hwid=_hwid(certificate),
        csp=_text(certificate, CSP),
    )


def _tcb(certificate: Certificate, product: str) -> bytes:
    if not product:
        return b""
    found = [certificate.extensions.get(f"{TCB_OID}.{arc}") for arc in LAYOUTS[product].oids]
    if None in found:
        raise ValueError("a part of the TCB is missing")
    return bytes(der.integer(der.only(part.value, der.INTEGER)) for part in found if part)


def _hwid(certificate: Certificate) -> bytes | None:
    extension = certificate.extensions.get(HWID)
    if extension is None:
        return None
    if len(extension.value) in (8, 64):
        return extension.value
    # Newer certificates wrap the id in an OCTET STRING.
    return der.only(extension.value, der.OCTETS).body


def _text(certificate: Certificate, name: str) -> str:
    extension = certificate.extensions.get(name)
    return der.only(extension.value, der.IA5).body.decode("ascii") if extension else ""
