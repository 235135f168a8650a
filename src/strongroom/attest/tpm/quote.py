"""Judge a TPM 2.0 quote.

 1  The message is a TPMS_ATTEST (1.1) made by a TPM (1.2), and a quote (1.3).
 2  The attestation key is trusted for one of the reasons of :mod:`.ak` (the caller's step).
 3  The signature is framed as required (3.1), its scheme and hash are strong and fit the key
    (3.2), and the key made it over exactly these bytes (3.3).
 4  The quote answers the nonce that was issued (4.1; left out if the owner allows any), the TPM's
    clock did not go backwards (4.2), and the reset count is the recorded one (4.3).
 5  Exactly one bank, SHA-256, is selected (5.1), with exactly the expected PCRs (5.2); the values
    are those of the selection (5.3) and hash to what was signed (5.4); each that the owner names
    has an allowed value (5.5).
 6  The event log is there if required (6.1), is framed as required (6.2), leads to every quoted
    PCR that it extends (6.3), and its data belongs to its digests (6.4).

What this does not prove: that the software between two measurements did not change, nor anything
about memory. A discrete TPM's bus can be tapped, and whoever controls the firmware from the first
instruction controls what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.attest.interface import Checks, Facts
from strongroom.attest.tpm import eventlog
from strongroom.attest.tpm.ak import AttestationKey
from strongroom.attest.tpm.expectations import Expectations
from strongroom.attest.tpm.wire import (
    MAGIC,
    QUOTE,
    SHA256,
    Attest,
    Signature,
    read_attest,
    read_signature,
)

DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Quote:
    """What a machine hands over.

    ``signature`` is a TPMT_SIGNATURE, or already taken apart (Azure hands over bare RSASSA
    octets: ``Signature("rsassa", "sha256", octets)``). ``pcrs`` maps PCR numbers to their
    32-byte values of the SHA-256 bank; ``log`` is a TCG crypto-agile event log, or empty.
    """

    message: bytes
    signature: bytes | Signature
    pcrs: Mapping[int, bytes]
    log: bytes = b""


def verify(
    quote: Quote, ak: AttestationKey, checks: Checks, *, expectations: Expectations
) -> Facts:
    """Walk checks 1 to 6 over a quote whose attestation key is trusted.

    Args:
        quote: the message with its signature, values and log.
        ak: the key and why it is trusted; see :mod:`.ak`.
        checks: where the checks are noted; made with :data:`.reasons.REASONS`.
        expectations: the owner's choices.

    Returns:
        Facts of kind ``tpm``: PCR values as ``pcr0``, extraData as ``report_data``.

    Raises:
        EvidenceRefused: with the code of the check that failed.
    """
    attest = _require_message(quote.message, checks)
    scheme = _require_signature(quote, ak, checks)
    _require_fresh(attest, checks, expectations)
    _require_values(quote, attest, scheme, checks, expectations)
    _require_log(quote, checks, expectations)
    return Facts(
        kind="tpm",
        product="TPM 2.0",
        assurance="HARDWARE",
        measurements={f"pcr{number}": value.hex() for number, value in sorted(quote.pcrs.items())},
        report_data=attest.extra_data,
        debug=False,
        tcb={
            "firmware": f"{attest.firmware:016x}",
            "reset_count": attest.reset_count,
            "restart_count": attest.restart_count,
        },
        chip=ak.holder,
        certificates=ak.certificates,
        claims={
            "ak_trust": ak.trust,
            "clock": attest.clock,
            "clock_safe": attest.safe == 1,
            "event_log": quote.log != b"",
        },
        checks=checks.made,
    )


def _require_message(message: bytes, checks: Checks) -> Attest:
    attest = read_attest(message)
    checks.require("1.1", "attest.tpm_message", attest is not None)
    known = cast(Attest, attest)
    checks.require("1.2", "attest.tpm_magic", known.magic == MAGIC, f"{known.magic:08x}")
    checks.require("1.3", "attest.tpm_type", known.type == QUOTE, f"{known.type:04x}")
    return known


def _require_signature(quote: Quote, ak: AttestationKey, checks: Checks) -> Signature:
    given = quote.signature
    signature = read_signature(given) if isinstance(given, bytes) else given
    checks.require("3.1", "attest.tpm_signature_form", signature is not None)
    known = cast(Signature, signature)
    key = _strong_key(ak.public, known)
    checks.require("3.2", "attest.tpm_scheme", key is not None, f"{known.scheme} {known.hash}")
    checks.require("3.3", "attest.tpm_signature", _is_signed(quote.message, known, key))
    return known


def _strong_key(
    public: bytes, signature: Signature
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None:
    """The key, if it is strong enough and the scheme and hash belong to it."""
    try:
        key = load_der_public_key(public)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if signature.hash not in DIGESTS:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        fits = signature.scheme in ("rsassa", "rsapss") and 2048 <= key.key_size <= 4096
        return key if fits else None
    if isinstance(key, ec.EllipticCurvePublicKey) and signature.scheme == "ecdsa":
        return key if isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1)) else None
    return None


def _is_signed(
    message: bytes, signature: Signature, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None
) -> bool:
    digest = DIGESTS[signature.hash]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
            pad = padding.PKCS1v15() if signature.scheme == "rsassa" else pss
            key.verify(signature.value, message, pad, digest)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature.value, message, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False


def _require_fresh(attest: Attest, checks: Checks, expectations: Expectations) -> None:
    answers = expectations.any_nonce or attest.extra_data.hex() == expectations.nonce != ""
    checks.require("4.1", "attest.tpm_nonce", answers, attest.extra_data.hex())
    safe = attest.safe == 1 or (expectations.unsafe_clock and attest.safe == 0)
    checks.require("4.2", "attest.tpm_clock", safe)
    recorded = expectations.reset_count
    same = recorded is None or recorded == attest.reset_count
    checks.require("4.3", "attest.tpm_reset_count", same, str(attest.reset_count))


def _require_values(
    quote: Quote,
    attest: Attest,
    signature: Signature,
    checks: Checks,
    expectations: Expectations,
) -> None:
    banks = [algorithm for algorithm, _ in attest.selections]
    checks.require("5.1", "attest.tpm_bank", banks == [SHA256], str(banks))
    selected = attest.selections[0][1]
    checks.require("5.2", "attest.tpm_selection", selected == expectations.selection, str(selected))
    values = [quote.pcrs.get(number, b"") for number in selected]
    complete = set(quote.pcrs) == set(selected) and all(len(value) == 32 for value in values)
    checks.require("5.3", "attest.tpm_values", complete)
    digest = hashes.Hash(DIGESTS[signature.hash])
    digest.update(b"".join(values))
    checks.require("5.4", "attest.tpm_digest", digest.finalize() == attest.digest)
    allowed = all(
        number.isdecimal()
        and quote.pcrs.get(int(number), b"").hex() in {value.lower() for value in values_allowed}
        for number, values_allowed in expectations.pcrs.items()
    )
    checks.require("5.5", "attest.tpm_pcr", allowed, f"{len(expectations.pcrs)} named")


def _require_log(quote: Quote, checks: Checks, expectations: Expectations) -> None:
    given = quote.log != b""
    checks.require("6.1", "attest.tpm_log_missing", given or expectations.event_log == "optional")
    if not given:
        return
    events = eventlog.read(quote.log)
    checks.require("6.2", "attest.tpm_log", events is not None)
    known = cast("tuple[eventlog.Event, ...]", events)
    replayed = eventlog.replay(known)
    matches = [
        replayed[number] == quote.pcrs[number] for number in replayed if number in quote.pcrs
    ]
    checks.require(
        "6.3", "attest.tpm_replay", len(matches) > 0 and all(matches), f"{len(matches)} PCRs"
    )
    checks.require("6.4", "attest.tpm_log_event", all(eventlog.is_true(e) for e in known))
