"""Remembers what was found of a platform, so that only the quote's own signature is new.

A platform's quotes differ in what runs inside and in report data; certificates, collateral, QE
report and attestation key stay the same. `PlatformCache` is a ``Signatures`` step: where all of
those are byte for byte what it saw accepted, under the same policy and less than ``AGE`` seconds
ago, it verifies the quote's signature under the same attestation key, and nothing else. The
callers' own checks (dates, revocation, claims) are made for every quote, cached or not.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from strongroom.attest.dcap.collateral import Collateral
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.dcap.quote import TD_REPORT_10, Quote
from strongroom.attest.dcap.reasons import REASONS
from strongroom.attest.dcap.strict import PlatformClaims, Signatures, verify
from strongroom.attest.interface import refusal

AGE = 300
SIZE = 256
_Key = tuple[Collateral, bytes, PlatformPolicy, bytes]


class PlatformCache:
    """A ``Signatures`` step that remembers. Not safe to share between threads.

    Args:
        full: the step that judges a platform the first time and every ``AGE`` seconds.
    """

    def __init__(self, full: Signatures = verify) -> None:
        self._full = full
        self._seen: OrderedDict[_Key, tuple[int, PlatformClaims]] = OrderedDict()

    def __call__(
        self, quote: Quote, collateral: Collateral, now: int, root: bytes, policy: PlatformPolicy
    ) -> PlatformClaims:
        """As `strict.verify`.

        Raises:
            EvidenceRefused: as `strict.verify`.
        """
        key = (collateral, root, policy, _platform(quote))
        made, claims = self._seen.get(key, (0, None))
        if claims is not None and 0 <= now - made < AGE:
            self._seen.move_to_end(key)
            _signature(quote)
            return claims
        claims = self._full(quote, collateral, now, root, policy)
        self._seen[key] = (now, claims)
        while len(self._seen) > SIZE:
            self._seen.popitem(last=False)
        return claims


def _platform(quote: Quote) -> bytes:
    """Digest of all that the full step judges, other than the signature over the quote.

    Of the body those fields are left out that no TCB or attribute rule reads: MRTD to report data
    of a TD, report data of an enclave. Everything is preceded by its length.
    """
    body = quote.body
    judged = (body[:320], b"") if quote.kind == "SGX" else (body[:136], body[TD_REPORT_10:])
    digest = hashlib.sha256()
    parts = (quote.signed[: -len(body)], *judged, quote.key, quote.qe_report, quote.qe_signature)
    for part in (*parts, quote.qe_auth, quote.chain):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _signature(quote: Quote) -> None:
    """ECDSA over header and body under the attestation key.

    Raises:
        EvidenceRefused: ``attest.dcap_quote_signature``.
    """
    r, s = int.from_bytes(quote.signature[:32], "big"), int.from_bytes(quote.signature[32:], "big")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.key)
        key.verify(encode_dss_signature(r, s), quote.signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise refusal(REASONS, "attest.dcap_quote_signature") from error
