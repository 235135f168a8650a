"""Intel's collateral: TCB info, QE identity and revocation lists, read strictly.

The bytes that Intel signed are kept as they came and handed on unchanged; what is parsed here
serves dates, kind and floors. There are nine parts, named as PCS clients name them. A chain of PCK
certificates beside them is refused: the chain that counts is the one inside the quote.

Source: Intel SGX and TDX Provisioning Certification Service API, version 4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from strongroom.attest import certificates
from strongroom.attest.dcap.pem import Certificate, read_chain
from strongroom.attest.dcap.reasons import COLLATERAL
from strongroom.attest.interface import refusal

MAX_PIECE = 1024 * 1024


PARTS = (
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
)
BINARY = frozenset({"root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"})


class _Signed(msgspec.Struct, frozen=True, rename="camel"):
    """What TCB info and QE identity have in common; dcap-qvl reads the rest."""

    id: str
    version: int
    issue_date: datetime
    next_update: datetime
    tcb_evaluation_data_number: int
    pce_id: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """TCB info or QE identity: the bytes that Intel signed, and what is needed of them."""

    text: str
    signature: bytes
    id: str
    version: int
    evaluation: int
    pce_id: str
    issued: int
    next_update: int


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list in DER, its dates and the serial numbers on it."""

    der: bytes
    issued: int
    next_update: int
    serials: frozenset[int]


@dataclass(frozen=True, slots=True)
class Collateral:
    """Collateral that was read, not verified. Chains run from the signer to the root."""

    tcb_info: Document
    qe_identity: Document
    root_crl: RevocationList
    pck_crl: RevocationList
    tcb_chain: tuple[Certificate, ...]
    qe_chain: tuple[Certificate, ...]
    crl_chain: tuple[Certificate, ...]
    texts: tuple[str, ...]

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """From when until when each part may be used."""
        parts = (self.tcb_info, self.qe_identity, self.root_crl, self.pck_crl)
        return tuple((part.issued, part.next_update) for part in parts)


def from_json(text: bytes) -> dict[str, bytes]:
    """The parts of the JSON object in which PCS clients keep collateral; binary ones are hex.

    Raises:
        EvidenceRefused: ``attest.dcap_collateral_malformed``.
    """
    try:
        fields = msgspec.json.decode(text, type=dict[str, str])
        return {
            name: bytes.fromhex(value) if name in BINARY else value.encode("utf-8")
            for name, value in fields.items()
        }
    except ValueError as error:
        raise refusal(COLLATERAL, "attest.dcap_collateral_malformed") from error


def read(parts: Mapping[str, bytes]) -> Collateral:
    """Collateral from its nine parts: chains in PEM, lists in DER, signatures as r ‖ s.

    Raises:
        EvidenceRefused: ``attest.dcap_collateral_malformed``, or
            ``attest.dcap_chain_encoding`` for a chain.
    """
    if set(parts) != set(PARTS) or any(len(part) > MAX_PIECE for part in parts.values()):
        raise refusal(COLLATERAL, "attest.dcap_collateral_malformed")
    chains = ("tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_crl_issuer_chain")
    tcb, identity, crl = (read_chain(parts[name], 2) for name in chains)
    try:
        return Collateral(
            tcb_info=_document(parts["tcb_info"], parts["tcb_info_signature"]),
            qe_identity=_document(parts["qe_identity"], parts["qe_identity_signature"]),
            root_crl=_revocations(parts["root_ca_crl"]),
            pck_crl=_revocations(parts["pck_crl"]),
            tcb_chain=tcb,
            qe_chain=identity,
            crl_chain=crl,
            texts=tuple(parts[name].decode("ascii") for name in chains),
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise refusal(COLLATERAL, "attest.dcap_collateral_malformed") from error


def _document(content: bytes, signature: bytes) -> Document:
    text = content.decode("utf-8")
    _refuse_duplicates(text)
    head = msgspec.json.decode(text, type=_Signed)
    if len(signature) != 64 or head.issue_date.tzinfo is None or head.next_update.tzinfo is None:
        raise ValueError("signature or dates")
    return Document(
        text=text,
        signature=signature,
        id=head.id,
        version=head.version,
        evaluation=head.tcb_evaluation_data_number,
        pce_id=head.pce_id,
        issued=int(head.issue_date.timestamp()),
        next_update=int(head.next_update.timestamp()),
    )


def _refuse_duplicates(text: str) -> None:
    """Two readers must not see two documents in one text."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a field stands twice")
        return found

    json.loads(text, object_pairs_hook=unique)


def _revocations(der: bytes) -> RevocationList:
    found = certificates.read_revocations(der)
    return RevocationList(der, found.this_update, found.next_update, found.serials)
