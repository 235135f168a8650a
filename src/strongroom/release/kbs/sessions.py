"""Guests' sessions: one cookie, one challenge outstanding, then at most one attestation result.

A session that is not attested ends with its challenge; one that is lives ``LIFETIME_SECONDS`` from
then. Its id and the token that it was given are two handles on it; neither opens anything without
the guest's own key, since resources are encrypted to that.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from strongroom.attest.interface import Facts
from strongroom.errors import KeyRefused
from strongroom.release.kbs.reasons import refuse
from strongroom.release.kbs.tee_key import TeeKey
from strongroom.release.nonces import LIFETIME_SECONDS as CHALLENGE_SECONDS

LIFETIME_SECONDS: Final = 300
MAX_SESSIONS: Final = 2048
"""Half as many as nonces may be outstanding: strangers on the network leave room for the others."""

MAX_RESOURCES: Final = 64
ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Attested:
    """What a session's evidence showed, and the key to answer to."""

    facts: tuple[Facts, ...]
    key: TeeKey
    evidence_sha256: str
    nonce_sha256: str


@dataclass(slots=True)
class Session:
    """One guest's session. ``ends`` is of the monotonic clock."""

    id: bytes
    tee: str
    nonce: str
    ends: float
    attested: Attested | None = None
    token_digest: bytes = b""
    fetched: int = 0

    @property
    def cookie(self) -> str:
        """The id as the cookie carries it."""
        return self.id.hex()


class Sessions:
    """All sessions. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_cookie: dict[str, Session] = {}
        self._by_token: dict[bytes, Session] = {}

    def begin(self, tee: str, nonce: str, now: float) -> Session:
        """A new session; ``release.busy`` if too many are alive."""
        session = Session(secrets.token_bytes(ID_BYTES), tee, nonce, now + CHALLENGE_SECONDS)
        with self._lock:
            if len(self._by_cookie) >= MAX_SESSIONS:
                self._forget(now)
            if len(self._by_cookie) >= MAX_SESSIONS:
                raise KeyRefused(
                    "release.busy",
                    "Too many guests have a session.",
                    action="Ask again in a minute.",
                )
            self._by_cookie[session.cookie] = session
        return session

    def find(self, cookie: str | None, token: str | None, now: float) -> Session:
        """The session of a cookie, or of the token that it was given.

        Raises:
            KeyRefused: ``release.kbs_session``.
        """
        with self._lock:
            session = None if cookie is None else self._by_cookie.get(cookie)
            if cookie is None and token is not None:
                session = self._by_token.get(_digest(token))
        if session is None or now >= session.ends:
            raise refuse("release.kbs_session")
        return session

    def attest(self, session: Session, attested: Attested, token: str, now: float) -> None:
        """Note what a session's evidence showed, and its token."""
        with self._lock:
            session.attested = attested
            session.token_digest = _digest(token)
            session.ends = now + LIFETIME_SECONDS
            self._by_token[session.token_digest] = session

    def fetch(self, session: Session) -> Attested:
        """What the session showed, for one more resource.

        Raises:
            KeyRefused: ``release.kbs_not_attested`` or ``release.kbs_exhausted``.
        """
        with self._lock:
            if session.attested is None:
                raise refuse("release.kbs_not_attested")
            if session.fetched >= MAX_RESOURCES:
                raise refuse("release.kbs_exhausted")
            session.fetched += 1
            return session.attested

    def _forget(self, now: float) -> None:
        for session in [one for one in self._by_cookie.values() if now >= one.ends]:
            del self._by_cookie[session.cookie]
            self._by_token.pop(session.token_digest, None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
