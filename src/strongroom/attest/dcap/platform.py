"""The numbered checks of Intel's platform, with which verifying TDX and SGX begins.

The quote was framed (Q1 to Q10, see `quote`). Then:

P1. The PCK chain is canonical PEM, three certificates, followed by at most one zero byte.
P2. Its root has the pinned SHA-256.
P3. Its certificates have their roles: PCK, PCK CA, root.
P4. They are valid at ``now``.
P5. Collateral was given and can be read.
P6. It is for this kind of TEE: TCB info 3 and QE identity 2 or 3.
P7. Its three chains end in the pinned root, and their signers have their roles and are valid.
P8. The PCK revocation list is issued by the very CA that issued the PCK certificate.
P9. TCB info, QE identity and both revocation lists have been issued and have not expired.
P10. TCB info and QE identity are at or above the owner's TCB evaluation number.
P11. Neither PCK, PCK CA nor signers are revoked.
P12. The QE's report binds the attestation key: SHA-256(key ‖ QE auth data), then zeros.
P13. dcap-qvl, strictly: chains, revocation lists, TCB info, QE identity, QE report and quote are
     signed, the QE is Intel's, TCB level, status and platform flags are accepted (`strict`).
P14. The TCB info is for the PCK's PCE.
P15. The platform is on the owner's list, if there is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.attest.dcap.collateral import Collateral, read
from strongroom.attest.dcap.pem import Certificate, read_chain
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.dcap.quote import Kind, Quote
from strongroom.attest.dcap.strict import PlatformClaims, Signatures
from strongroom.attest.interface import CertificateDates, Checks

#: SHA-256 of the DER form of "Intel SGX Root CA", valid until the end of 2049.
INTEL_ROOT = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
PCK = "Intel SGX PCK Certificate"
PCK_CAS = frozenset({"Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"})
SIGNER = "Intel SGX TCB Signing"
ROOT = "Intel SGX Root CA"
IDENTITIES: dict[Kind, tuple[str, tuple[int, ...]]] = {
    "TDX": ("TD_QE", (2, 3)),
    "SGX": ("QE", (2,)),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A platform that was accepted, and the certificates that this rests on."""

    claims: PlatformClaims
    certificates: tuple[CertificateDates, ...]


def judge(
    quote: Quote,
    checks: Checks,
    *,
    now: int,
    collateral: Collateral | Mapping[str, bytes] | None,
    policy: PlatformPolicy,
    root: str,
    signatures: Signatures,
) -> Judged:
    """Walk the list above.

    Args:
        quote: the framed quote.
        checks: where each check is noted.
        now: Unix seconds.
        collateral: what Intel published, as named parts or as `collateral.read` gave it.
        policy: what the owner accepts.
        root: SHA-256 of the pinned root, in hex.
        signatures: the step P13, `strict.verify` or a `cache.PlatformCache` around it.

    Raises:
        EvidenceRefused: one of the codes of `reasons`.
    """
    chain = _pck_chain(quote, root, now, checks)
    checks.require("P5", "attest.dcap_collateral_missing", collateral is not None, "given")
    known = collateral if isinstance(collateral, Collateral) else read(collateral or {})
    _kind(quote.kind, known, checks)
    _chains(known, chain, root, now, checks)
    _windows(known, now, checks)
    floor = min(known.tcb_info.evaluation, known.qe_identity.evaluation)
    enough = floor >= policy.minimum_evaluation
    checks.require("P10", "attest.dcap_tcb_evaluation", enough, f"number {floor}")
    _revoked(known, chain, checks)
    bound = hashlib.sha256(quote.key + quote.qe_auth).digest() + bytes(32)
    checks.require("P12", "attest.dcap_attestation_key", quote.qe_report[320:] == bound, "bound")
    claims = signatures(quote, known, now, chain[-1].der, policy)
    checks.require("P13", "attest.dcap_refused", True, f"TCB {claims.status}")
    same = known.tcb_info.pce_id.lower() == claims.pce_id
    checks.require("P14", "attest.dcap_collateral_platform", same, f"PCE {claims.pce_id}")
    allowed = policy.platforms is None or claims.platform in policy.platforms
    checks.require("P15", "attest.dcap_platform", allowed, claims.platform)
    return Judged(claims, tuple(c.dates for c in (*chain, known.tcb_chain[0], known.qe_chain[0])))


def _pck_chain(quote: Quote, root: str, now: int, checks: Checks) -> tuple[Certificate, ...]:
    chain = read_chain(quote.chain.removesuffix(b"\0"), 3)
    checks.require("P1", "attest.dcap_chain_encoding", len(chain) == 3, "3 certificates")
    checks.require("P2", "attest.dcap_root", chain[2].fingerprint == root, root)
    pck, authority, anchor = (c.name for c in chain)
    roles = pck == PCK and authority in PCK_CAS and anchor == ROOT
    checks.require("P3", "attest.dcap_chain_names", roles, authority)
    _valid("P4", chain, now, checks)
    return chain


def _valid(number: str, chain: tuple[Certificate, ...], now: int, checks: Checks) -> None:
    last = min(c.dates.not_after for c in chain)
    first = max(c.dates.not_before for c in chain)
    checks.require(number, "attest.dcap_certificate_expired", now <= last, f"until {last}")
    checks.require(number, "attest.dcap_certificate_early", now >= first, f"from {first}")


def _kind(kind: Kind, known: Collateral, checks: Checks) -> None:
    info, identity = known.tcb_info, known.qe_identity
    name, versions = IDENTITIES[kind]
    holds = (info.id, info.version, identity.id) == (kind, 3, name) and identity.version in versions
    checks.require("P6", "attest.dcap_collateral_kind", holds, f"{info.id}, {identity.id}")


def _chains(
    known: Collateral, pck: tuple[Certificate, ...], root: str, now: int, checks: Checks
) -> None:
    chains = (known.tcb_chain, known.qe_chain, known.crl_chain)
    pinned = all(chain[-1].fingerprint == root for chain in chains)
    checks.require("P7", "attest.dcap_root", pinned, root)
    roles = known.tcb_chain[0].name == SIGNER and known.qe_chain[0].name == SIGNER
    checks.require("P7", "attest.dcap_chain_names", roles, SIGNER)
    _valid("P7", (known.tcb_chain[0], known.qe_chain[0]), now, checks)
    same = known.crl_chain[0].der == pck[1].der
    checks.require("P8", "attest.dcap_crl_issuer", same, pck[1].name)


def _windows(known: Collateral, now: int, checks: Checks) -> None:
    first = max(issued for issued, _ in known.windows)
    last = min(until for _, until in known.windows)
    checks.require("P9", "attest.dcap_collateral_early", now >= first, f"from {first}")
    checks.require("P9", "attest.dcap_collateral_expired", now <= last, f"until {last}")


def _revoked(known: Collateral, chain: tuple[Certificate, ...], checks: Checks) -> None:
    by_root = {c.serial for c in (chain[1], known.tcb_chain[0], known.qe_chain[0])}
    clean = chain[0].serial not in known.pck_crl.serials and not by_root & known.root_crl.serials
    checks.require("P11", "attest.dcap_revoked", clean, "none")
