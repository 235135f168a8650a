"""API keys: how they are made, digested and looked up.

A key is ``sr_<id>_<secret>``: 16 hex digits to look it up, and 256 random bits in 43 base64url
characters. Stored is only BLAKE2b-256 of the whole text, keyed by a pepper that lies outside the
database: who steals the database alone can neither use a key nor test a guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

from strongroom.gateway.directory import Lookups
from strongroom.gateway.identity import Caller, caller_of
from strongroom.gateway.refusals import Refusal
from strongroom.store.interface import KeyRecord

DIGEST_BYTES: Final = 32
CACHE_SECONDS: Final = 0.25
"""How long who was identified is trusted without being looked up: revocation and new limits are
felt within this and what the directory lets pass."""

_CACHED_KEYS: Final = 10_000
_FORM: Final = re.compile(r"sr_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY: Final = bytes(DIGEST_BYTES)


def make_key() -> tuple[str, str]:
    """A new key: its id, and its full text, which nothing can show again."""
    key_id = secrets.token_hex(8)
    return key_id, f"sr_{key_id}_{secrets.token_urlsafe(32)}"


def digest(pepper: bytes, text: str) -> bytes:
    """What is stored of the key ``text``: BLAKE2b-256 keyed with ``pepper`` (32 bytes)."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES, key=pepper).digest()


class Authenticator:
    """Says whose key a request carries.

    Unknown, wrong, expired and revoked keys get one and the same answer after the same work.
    """

    def __init__(self, store: Lookups, pepper: bytes) -> None:
        self._store = store
        self._pepper = pepper
        self._cache: dict[str, tuple[float, _Known | None]] = {}

    def authenticate(self, authorization: str | None) -> Caller:
        """Who sent an ``Authorization: Bearer`` header.

        Raises:
            Refusal: 401 ``gateway.invalid_api_key``.
            StrongroomError: ``store.unavailable``.
        """
        scheme, _, text = (authorization or "").partition(" ")
        matched = _FORM.fullmatch(text.strip())
        if scheme.lower() != "bearer" or matched is None:
            raise invalid_key()
        known = self._find(matched[1])
        expected = _NOBODY if known is None else known.record.digest
        same = hmac.compare_digest(digest(self._pepper, matched[0]), expected)
        if known is None or not same or not known.record.usable(datetime.now(UTC)):
            raise invalid_key()
        return known.caller

    def _find(self, key_id: str) -> _Known | None:
        now = time.monotonic()
        cached = self._cache.get(key_id)
        if cached is not None and now < cached[0]:
            return cached[1]
        record = self._store.key(key_id)
        owner = None if record is None else self._store.organisation(record.organisation)
        known = None
        if record is not None and owner is not None:
            known = _Known(record, caller_of(record.id, owner, record.scopes, record.limits))
        if len(self._cache) >= _CACHED_KEYS:
            self._cache.clear()
        self._cache[key_id] = (now + CACHE_SECONDS, known)
        return known


class _Known(NamedTuple):
    record: KeyRecord
    caller: Caller


def invalid_key() -> Refusal:
    """The one answer to whoever cannot say who they are."""
    return Refusal(
        "gateway.invalid_api_key",
        "The API key is missing or not valid.",
        action="Send `Authorization: Bearer sr_...` with a key that is in force.",
        status=401,
    )
