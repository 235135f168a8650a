"""Signed notes with Ed25519 (c2sp.org/signed-note): text, a blank line, signature lines. Pure.

1. A note is UTF-8 without control characters but newline; its text ends with a newline.
2. The text is separated from the signatures by the last empty line.
3. A signature line is ``— <key name> base64(key id || signature)``; the key id is the first four
   bytes of SHA-256(name, newline, 0x01, public key).
4. Signatures of other keys are passed over; one of the key asked for must be there, and hold.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.ledger.reasons import refuse

MAX_NOTE_BYTES = 64 * 1024
_ED25519 = b"\x01"
_DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME = re.compile(r"[^\s+]+")
_ID_BYTES = 4
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name and the 32 bytes of an Ed25519 public key. Text form: ``name+hash+base64``."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that signature lines begin with."""
        hashed = hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public)
        return hashed.digest()[:_ID_BYTES]

    def renamed(self, name: str) -> VerifierKey:
        """The same public key under another name, which makes it another note key."""
        return VerifierKey(name, self.public)

    def encode(self) -> str:
        """The verifier key as stock tools take it."""
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str, where: object = "the text given") -> VerifierKey:
        """Read ``name+hash+base64``; ``ledger.bad_verifier_key`` if it is not one of Ed25519."""
        name, _, rest = text.strip().partition("+")
        claimed, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        key = cls(name, raw[1:])
        sound = raw[:1] == _ED25519 and len(raw) == 1 + _KEY_BYTES and _NAME.fullmatch(name)
        if not sound or claimed != key.key_id.hex():
            raise refuse("ledger.bad_verifier_key", where=where)
        return key


def sign(text: str, key: VerifierKey, private: Ed25519PrivateKey) -> bytes:
    """The note of ``text`` (ends with a newline) with one signature, which ``key`` verifies."""
    signature = base64.b64encode(key.key_id + private.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{key.name} {signature}\n".encode()


def verified_text(raw: bytes, key: VerifierKey, where: object) -> str:
    """The note's text, once a signature of ``key`` holds.

    Raises:
        LedgerRefused: ``ledger.checkpoint_malformed`` or ``ledger.checkpoint_invalid``.
    """
    text, signatures = split(raw, where)
    signed = [s for name, s in signatures if name == key.name and s[:_ID_BYTES] == key.key_id]
    try:
        public = Ed25519PublicKey.from_public_bytes(key.public)
        for signature in signed:
            public.verify(signature[_ID_BYTES:], text.encode())
    except (InvalidSignature, ValueError):
        raise refuse("ledger.checkpoint_invalid", where=where) from None
    if not signed:
        raise refuse("ledger.checkpoint_invalid", where=where)
    return text


def split(raw: bytes, where: object) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and (key name, signature) pairs of a note, nothing verified."""
    try:
        note = raw.decode()
    except UnicodeDecodeError:
        raise _malformed(where, "it is not UTF-8") from None
    if len(raw) > MAX_NOTE_BYTES or _CONTROL.search(note):
        raise _malformed(where, "it is too long or has control characters")
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise _malformed(where, "it has no signature lines")
    return head + "\n", [_signature(line, where) for line in tail[:-1].split("\n")]


def _signature(line: str, where: object) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except ValueError:
        signature = b""
    if not line.startswith(_DASH) or not _NAME.fullmatch(name) or len(signature) <= _ID_BYTES:
        raise _malformed(where, "a signature line does not have its form")
    return name, signature


def _malformed(where: object, problem: str) -> Exception:
    return refuse("ledger.checkpoint_malformed", where=where, problem=problem)
