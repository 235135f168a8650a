"""Strict framing of Intel's quotes: version 3 (SGX), 4 and 5 (TDX).

Every byte of what is accepted has a meaning or is zero; what the two ends of a length disagree
about is refused. Source: Intel TDX DCAP Quoting Library API, revision 1.5, appendix 3, and Intel
SGX ECDSA QuoteLibReference, revision 1.23, appendix 4.

Q1. Length at least a header and at most ``MAX_QUOTE`` (`dcap_framing`).
Q2. Version 3 for SGX, 4 or 5 for TDX (`dcap_version`).
Q3. The TEE type of the kind (`dcap_tee_type`).
Q4. ECDSA on P-256 (`dcap_key_type`).
Q5. Reserved header bytes zero in versions 4 and 5 (`dcap_reserved`).
Q6. Intel's quoting enclave (`dcap_qe_vendor`).
Q7. Version 5: body type 2 with 584 bytes, or 3 with 648 (`dcap_body_type`).
Q8. Every length fits, and the innermost ends where the outermost does (`dcap_framing`).
Q9. QE certification data of type 6 in versions 4 and 5, and inside it the PCK chain, type 5
   (`dcap_certification_type`).
Q10. What follows is zero (`dcap_trailing`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from strongroom.attest.dcap.reasons import FRAMING
from strongroom.attest.interface import Checks, refusal

Kind = Literal["TDX", "SGX"]

MAX_QUOTE = 64 * 1024
HEADER = 48
ENCLAVE_REPORT = 384
TD_REPORT_10, TD_REPORT_15 = 584, 648
VERSIONS: dict[Kind, tuple[int, ...]] = {"TDX": (4, 5), "SGX": (3,)}
TEE_TYPES: dict[Kind, int] = {"TDX": 0x81, "SGX": 0}
BODIES = {2: TD_REPORT_10, 3: TD_REPORT_15}
ECDSA_P256 = 2
INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
PCK_CHAIN, QE_REPORT = 5, 6


@dataclass(frozen=True, slots=True)
class Quote:
    """A framed quote; nothing in it has been verified.

    ``signed`` is what the attestation key signed (header and body), ``auth`` all that follows its
    signature and key; ``exact`` the quote without the zeros that trailed it.
    """

    kind: Kind
    version: int
    body: bytes
    signed: bytes
    signature: bytes
    key: bytes
    qe_report: bytes
    qe_signature: bytes
    qe_auth: bytes
    chain: bytes
    exact: bytes


class _Reader:
    """Takes fields off bytes and refuses to take what is not there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise refusal(FRAMING, "attest.dcap_framing")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


def parse(raw: bytes, kind: Kind, checks: Checks) -> Quote:
    """Frame ``raw`` as a quote of ``kind``.

    Raises:
        EvidenceRefused: one of the codes in the module's list.
    """
    checks.require("Q1", "attest.dcap_framing", HEADER < len(raw) <= MAX_QUOTE, f"{len(raw)} bytes")
    reader = _Reader(raw)
    version = _header(reader.take(HEADER), kind, checks)
    body = reader.take(_body_size(reader, version, checks))
    signed = raw[: reader.at]
    auth = _Reader(reader.take(reader.number(4)))
    exact = raw[: reader.at]
    signature, key = auth.take(64), auth.take(64)
    if version > 3:
        auth = _nested(auth, checks)
    report, qe_signature = auth.take(ENCLAVE_REPORT), auth.take(64)
    qe_auth = auth.take(auth.number(2))
    inner = auth.number(2)
    checks.require("Q9", "attest.dcap_certification_type", inner == PCK_CHAIN, f"type {inner}")
    chain = auth.take(auth.number(4))
    checks.require("Q8", "attest.dcap_framing", auth.at == len(auth.data), f"{len(exact)} bytes")
    checks.require("Q10", "attest.dcap_trailing", not any(raw[len(exact) :]), "zeros only")
    return Quote(
        kind, version, body, signed, signature, key, report, qe_signature, qe_auth, chain, exact
    )


def _header(header: bytes, kind: Kind, checks: Checks) -> int:
    version, key_type, tee_type = struct.unpack_from("<HHI", header)
    checks.require("Q2", "attest.dcap_version", version in VERSIONS[kind], f"version {version}")
    checks.require("Q3", "attest.dcap_tee_type", tee_type == TEE_TYPES[kind], f"{tee_type:#x}")
    checks.require("Q4", "attest.dcap_key_type", key_type == ECDSA_P256, "ECDSA P-256")
    # In version 3 these four bytes are the SVNs of the QE and of the PCE.
    reserved = not any(header[8:12]) or version == 3
    checks.require("Q5", "attest.dcap_reserved", reserved, "zero")
    checks.require("Q6", "attest.dcap_qe_vendor", header[12:28] == INTEL_QE, "Intel")
    return int(version)


def _body_size(reader: _Reader, version: int, checks: Checks) -> int:
    if version == 3:
        return ENCLAVE_REPORT
    if version == 4:
        return TD_REPORT_10
    kind, size = reader.number(2), reader.number(4)
    checks.require("Q7", "attest.dcap_body_type", BODIES.get(kind) == size, f"type {kind}")
    return size


def _nested(auth: _Reader, checks: Checks) -> _Reader:
    """The certification data of versions 4 and 5, which wraps what version 3 holds openly."""
    outer = auth.number(2)
    checks.require("Q9", "attest.dcap_certification_type", outer == QE_REPORT, f"type {outer}")
    inside = auth.take(auth.number(4))
    checks.require("Q8", "attest.dcap_framing", auth.at == len(auth.data), "no gap")
    return _Reader(inside)
