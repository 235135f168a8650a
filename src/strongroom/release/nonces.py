"""Nonces that work once: at most one outstanding a session, gone before anything is verified."""

from __future__ import annotations

import threading

from strongroom.errors import KeyRefused

LIFETIME_SECONDS = 60
MAX_SESSIONS = 4096
MAX_EVIDENCE_REMEMBERED = 65_536


class NonceRegistry:
    """The outstanding nonces of all sessions, and the evidence seen. Safe to share by threads.

    Time is a monotonic clock's seconds, so that a changed wall clock cannot lengthen a life.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_nonce: dict[bytes, tuple[bytes, float]] = {}
        self._by_session: dict[bytes, bytes] = {}
        self._evidence: dict[str, None] = {}

    def issue(self, session: bytes, nonce: bytes, now: float) -> None:
        """Make ``nonce`` the only one outstanding for ``session``.

        Raises:
            KeyRefused: ``release.busy`` when too many sessions hold a live nonce.
        """
        with self._lock:
            self._void(session)
            self._forget_expired(now)
            if len(self._by_session) >= MAX_SESSIONS:
                raise KeyRefused(
                    "release.busy",
                    "Too many workloads hold an unanswered challenge.",
                    action="Ask again in a minute.",
                )
            self._by_nonce[nonce] = (session, now + LIFETIME_SECONDS)
            self._by_session[session] = nonce

    def consume(self, session: bytes, nonce: bytes, now: float) -> None:
        """Use ``nonce`` up, whoever presents it, then refuse unless it is live and of ``session``.

        Raises:
            KeyRefused: ``release.nonce_unknown`` (never issued, used or replaced),
                ``release.nonce_other_session``, ``release.nonce_expired``.
        """
        with self._lock:
            owner, expires = self._by_nonce.pop(nonce, (None, 0.0))
            if owner is not None:
                del self._by_session[owner]
        if owner is None:
            raise _refused("release.nonce_unknown", "The nonce is unknown or was used before.")
        if owner != session:
            raise _refused(
                "release.nonce_other_session", "The nonce was issued to another session."
            )
        if now >= expires:
            raise _refused("release.nonce_expired", "The challenge has expired.")

    def void(self, session: bytes) -> None:
        """Forget the nonce of a session that ended or broke the protocol."""
        with self._lock:
            self._void(session)

    def remember_evidence(self, digest: str) -> None:
        """Note evidence by its SHA-256; ``release.evidence_replayed`` if it was seen before.

        Evidence commits to its nonce, so the nonce alone already stops a replay; this second lock
        holds the newest ``MAX_EVIDENCE_REMEMBERED``.
        """
        with self._lock:
            if digest in self._evidence:
                raise _refused("release.evidence_replayed", "This evidence was presented before.")
            self._evidence[digest] = None
            if len(self._evidence) > MAX_EVIDENCE_REMEMBERED:
                del self._evidence[next(iter(self._evidence))]

    def _void(self, session: bytes) -> None:
        nonce = self._by_session.pop(session, None)
        if nonce is not None:
            del self._by_nonce[nonce]

    def _forget_expired(self, now: float) -> None:
        expired = [owner for owner, expires in self._by_nonce.values() if now >= expires]
        for session in expired:
            self._void(session)


def _refused(code: str, message: str) -> KeyRefused:
    return KeyRefused(code, message, action="Ask for a new challenge and answer that one.")
