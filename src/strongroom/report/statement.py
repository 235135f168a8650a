"""Results as a signed statement: in-toto Statement v1, canonical JSON, in a DSSE envelope.

The statement's subject is the sealed model by the SHA-256 of its manifest. The payload is canonical
JSON (RFC 8785); the signature is Ed25519 over DSSE's pre-authentication encoding. Sources:
github.com/in-toto/attestation spec v1, github.com/secure-systems-lab/dsse protocol v1.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from strongroom.exposure.results import SCHEMA, Results
from strongroom.report.canonical import canonical

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_P = TypeVar("_P", bound=msgspec.Struct)


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that a statement is about."""

    name: str
    digest: dict[Literal["sha256"], str]

    @property
    def sha256(self) -> str | None:
        """Its digest, hex; None where the statement names none."""
        return self.digest.get("sha256")


class Statement(msgspec.Struct, Generic[_P], frozen=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 whose predicate is a ``_P``."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: _P


class Signer:
    """An Ed25519 key; its ``repr`` shows the public half."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def generate(cls) -> Signer:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def seed(self) -> bytes:
        """The secret, to be written to a private file and nowhere else."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key, hex."""
        return hashlib.sha256(self.public).hexdigest()

    def sign(self, message: bytes) -> bytes:
        """Ed25519, 64 bytes."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.key_id!r})"


def statement(results: Results) -> bytes:
    """The canonical bytes of the statement."""
    return stated(SCHEMA, {results.model.name: results.model.digest}, results)


def stated(kind: str, subjects: Mapping[str, str], predicate: msgspec.Struct) -> bytes:
    """The canonical bytes of a statement of this kind; ``subjects``: name to SHA-256, hex."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": n, "digest": {"sha256": d}} for n, d in subjects.items()],
            "predicateType": kind,
            "predicate": msgspec.to_builtins(predicate),
        }
    )


def envelope(results: Results, signer: Signer) -> bytes:
    """The signed statement as a DSSE envelope, JSON."""
    return enveloped(statement(results), signer)


def enveloped(payload: bytes, signer: Signer) -> bytes:
    """Any in-toto statement, signed, as a DSSE envelope, JSON."""
    signature = signer.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": signer.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def verify(raw: bytes, public: bytes) -> bytes:
    """The payload of an envelope that ``public`` signed.

    Raises:
        ValueError: it is no envelope, of another type, or not signed by that key.
    """
    try:
        found = msgspec.json.decode(raw)
        payload = base64.b64decode(found["payload"], validate=True)
        signatures = [base64.b64decode(s["sig"], validate=True) for s in found["signatures"]]
        kind = str(found["payloadType"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ValueError("it is no DSSE envelope") from error
    if kind != PAYLOAD_TYPE:
        raise ValueError(f"its payload is of type {kind[:80]}")
    key = Ed25519PublicKey.from_public_bytes(public)
    for signature in signatures:
        try:
            key.verify(signature, pre_authentication(kind, payload))
        except InvalidSignature:
            continue
        return payload
    raise ValueError("no signature of it is by that key")


def verify_stated(raw: bytes, public: bytes, kind: str, predicate: type[_P]) -> Statement[_P]:
    """The statement of this kind in an envelope that ``public`` signed.

    Raises:
        ValueError: as ``verify``, or it states something else.
        msgspec.MsgspecError: its predicate is not of this type.
    """
    wanted = Statement[predicate]  # type: ignore[valid-type]
    found: Statement[_P] = msgspec.json.decode(verify(raw, public), type=wanted)
    if found.type != STATEMENT_TYPE or found.predicate_type != kind:
        raise ValueError("it states something else")
    return found


class _Named(msgspec.Struct, frozen=True):
    """What any statement says of its kind."""

    predicate_type: str = msgspec.field(name="predicateType")


def kind_of(raw: bytes, public: bytes) -> str:
    """What an envelope that ``public`` signed states.

    Raises:
        ValueError: as ``verify``.
        msgspec.MsgspecError: it is no statement.
    """
    return msgspec.json.decode(verify(raw, public), type=_Named).predicate_type


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """DSSE's PAE: what is signed."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
