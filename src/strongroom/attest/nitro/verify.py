"""Verify an attestation document of an AWS Nitro Enclave.

N1. At most ``MAX_DOCUMENT`` bytes.
N2. COSE_Sign1, untagged, in strict CBOR with nothing after it, and a signature of 96 bytes.
N3. The protected header is {alg: ES384} and nothing else.
N4. There are no unprotected headers.
N5. The payload is the module's map: exactly its nine fields, each of its type and size.
N6. PCRs are SHA-384.
N7. PCRs are numbered below 32 and 48 bytes long, and 0, 1, 2 are there.
N8. PCR0 is not zero, as it is in debug mode.
N9. Every certificate can be read.
N10. The first of the bundle is the AWS root, by its SHA-256.
N11. Each certificate names the one before it as its issuer.
N12. Each but the last may issue, with enough path length; the last may not, and may sign.
N13. No certificate has a critical extension that is not understood.
N14. Each certificate is signed by the one before it, ECDSA on P-384 with SHA-384.
N15. All certificates are valid at ``now``.
N16. The last certificate is that of the document's module.
N17. The document's signature holds, ECDSA on P-384 with SHA-384.
N18. Its timestamp is within ``MAX_AGE`` seconds of ``now``, before or after.
N19. PCR0, PCR1, PCR2 and PCR8 are allowed ones.
N20. The nonce is the expected one.
N21. Public key and user data are the expected ones.

AWS revokes by not issuing: the last certificates live for hours, and no list is consulted. The
caller must bind nonce, public key or user data to its own challenge, and take ``now`` from a clock
that the parent instance cannot set.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.attest import certificates, der
from strongroom.attest.bundle import Bundle, parts
from strongroom.attest.certificates import BASIC_CONSTRAINTS, KEY_USAGE, Certificate
from strongroom.attest.interface import Checks, Facts, refusal
from strongroom.attest.nitro.document import PCR_SIZE, Document, Signed, parse
from strongroom.attest.nitro.expectations import Expectations
from strongroom.attest.nitro.reasons import REASONS

#: SHA-256 of the DER form of "aws.nitro-enclaves", valid until October 2049.
AWS_ROOT = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
MAX_AGE = 300
MAX_CHAIN = 8


def verify(document: bytes, *, now: int, expectations: Expectations, root: str = AWS_ROOT) -> Facts:
    """Verify an attestation document.

    Args:
        document: COSE_Sign1, as the Nitro Security Module returned it.
        now: Unix seconds at which it is judged.
        expectations: what the owner demands.
        root: SHA-256 of the root to trust, in hex; tests pass a simulated one.

    Raises:
        EvidenceRefused: the first check that fails, by its code.
    """
    checks = Checks(REASONS)
    signed = parse(document, checks)
    found = signed.document
    _pcrs(found, checks)
    chain = _chain(found, checks)
    _issued(chain, root, checks)
    _current(chain, found, now, checks)
    checks.require("N17", "attest.nitro_signature", _signature(signed, chain[-1]), "ES384")
    age = now * 1000 - found.timestamp
    checks.require("N18", "attest.nitro_stale", age <= MAX_AGE * 1000, f"{age} ms old")
    checks.require("N18", "attest.nitro_future", age >= -MAX_AGE * 1000, f"{age} ms old")
    _expected(found, expectations, checks)
    facts = _facts(found, chain, checks)
    return replace(facts, claims={**facts.claims, "not_compared": expectations.not_compared})


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Verify a bundle whose evidence is ``document``, which holds its own certificates.

    Raises:
        EvidenceRefused: as `verify`, or ``attest.bundle_parts``.
    """
    chosen = msgspec.convert(expectations, Expectations, from_attributes=True)
    return verify(parts(bundle, "document")["document"], now=now, expectations=chosen)


def _pcrs(found: Document, checks: Checks) -> None:
    checks.require("N6", "attest.nitro_digest", found.digest == "SHA384", "SHA384")
    numbers = set(found.pcrs)
    framed = {0, 1, 2} <= numbers <= set(range(32)) and all(
        len(value) == PCR_SIZE for value in found.pcrs.values()
    )
    checks.require("N7", "attest.nitro_pcrs", framed, f"{len(numbers)} PCRs")
    checks.require("N8", "attest.nitro_debug", any(found.pcrs[0]), "PCR0 is set")


def _chain(found: Document, checks: Checks) -> list[Certificate]:
    """The certificates from the root to the one that signed."""
    bounded = 1 <= len(found.cabundle) <= MAX_CHAIN
    checks.require("N9", "attest.nitro_certificate", bounded, f"{len(found.cabundle) + 1}")
    try:
        return [certificates.read(raw) for raw in (*found.cabundle, found.certificate)]
    except ValueError as error:
        raise refusal(REASONS, "attest.nitro_certificate") from error


def _issued(chain: list[Certificate], root: str, checks: Checks) -> None:
    leaf, pairs = chain[-1], list(pairwise(chain))
    checks.require("N10", "attest.nitro_root", chain[0].fingerprint == root, root)
    named = all(below.issuer == above.subject for above, below in pairs)
    checks.require("N11", "attest.nitro_chain_names", named, leaf.common_name)
    may = all(above.may_issue(below) for below, above in enumerate(reversed(chain[:-1])))
    checks.require("N12", "attest.nitro_authority", may, f"{len(chain)} certificates")
    checks.require("N12", "attest.nitro_signer", _may_sign(leaf), "digital signature")
    known = all(one.understood(BASIC_CONSTRAINTS, KEY_USAGE) for one in chain)
    checks.require("N13", "attest.nitro_critical", known, "none unknown")
    holds = all(certificates.signed_by(below.signed, above.public_key) for above, below in pairs)
    checks.require("N14", "attest.nitro_chain_signature", holds, "ES384")


def _may_sign(leaf: Certificate) -> bool:
    """Whether its key usage has digitalSignature and it is no authority."""
    usage = leaf.extensions.get(KEY_USAGE)
    if usage is None or leaf.may_issue(0):
        return False
    try:
        bits = der.only(usage.value, der.BIT_STRING).body
    except ValueError:
        return False
    return len(bits) >= 2 and bits[1] & 0x80 != 0


def _current(chain: list[Certificate], found: Document, now: int, checks: Checks) -> None:
    last = min(one.not_after for one in chain)
    first = max(one.not_before for one in chain)
    checks.require("N15", "attest.nitro_expired", now <= last, f"until {last}")
    checks.require("N15", "attest.nitro_early", now >= first, f"from {first}")
    own = bool(found.module_id) and chain[-1].common_name.startswith(f"{found.module_id}.")
    checks.require("N16", "attest.nitro_module", own, found.module_id)


def _signature(signed: Signed, leaf: Certificate) -> bool:
    r, s = signed.signature[:48], signed.signature[48:]
    encoded = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    try:
        key = load_der_public_key(leaf.public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        if not isinstance(key.curve, ec.SECP384R1):
            return False
        key.verify(encoded, signed.message, ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _expected(found: Document, wanted: Expectations, checks: Checks) -> None:
    _listed("attest.nitro_pcr0", found.pcrs.get(0), wanted.pcr0, checks)
    _listed("attest.nitro_pcr1", found.pcrs.get(1), wanted.pcr1, checks)
    _listed("attest.nitro_pcr2", found.pcrs.get(2), wanted.pcr2, checks)
    _listed("attest.nitro_pcr8", found.pcrs.get(8), wanted.pcr8, checks)
    nonce = (found.nonce or b"").hex()
    answers = wanted.any_nonce or (nonce != "" and nonce == wanted.nonce)
    checks.require("N20", "attest.nitro_nonce", answers, nonce)
    _carried("attest.nitro_public_key", found.public_key, wanted.public_key, checks)
    _carried("attest.nitro_user_data", found.user_data, wanted.user_data, checks)


def _listed(code: str, value: bytes | None, allowed: frozenset[str] | None, checks: Checks) -> None:
    found = (value or b"").hex()
    checks.require("N19", code, allowed is None or found in allowed, found)


def _carried(code: str, value: bytes | None, wanted: str | None, checks: Checks) -> None:
    found = (value or b"").hex()
    checks.require("N21", code, wanted is None or found == wanted, found)


def _facts(found: Document, chain: list[Certificate], checks: Checks) -> Facts:
    return Facts(
        kind="nitro",
        product="Nitro",
        assurance="HARDWARE",
        measurements={f"pcr{i}": value.hex() for i, value in sorted(found.pcrs.items())},
        report_data=found.user_data or b"",
        debug=False,
        certificates=tuple(one.dates for one in chain),
        claims={
            "module_id": found.module_id,
            "timestamp": found.timestamp // 1000,
            "nonce": (found.nonce or b"").hex(),
            "public_key": (found.public_key or b"").hex(),
        },
        checks=checks.made,
    )
