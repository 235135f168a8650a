"""Who is logged in, and the tokens that prove a form is ours. In memory: a restart logs out all.

1. A session begins only with a right key, under a fresh random id: none can be fixed beforehand.
2. The browser holds the id; here lies its SHA-256 only.
3. It ends at logout, 30 minutes after its last use, 8 hours after its start, with its operator's
   revocation, or when an operator has more than ``MOST_PER_OPERATOR``.
4. Each session has a CSRF token. The login form, which has no session yet, has one that is the MAC
   of a cookie under a key of this process: nothing is stored for those who only look.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

IDLE_SECONDS: Final = 30 * 60
WHOLE_SECONDS: Final = 8 * 3600
MOST_PER_OPERATOR: Final = 8


@dataclass(slots=True)
class Session:
    """One log in."""

    operator_id: str
    operator: str
    token: str
    began: float
    used: float


class Sessions:
    """The sessions of this process.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._secret = secrets.token_bytes(32)

    def begin(self, operator_id: str, operator: str) -> tuple[str, Session]:
        """A new session, and the id for the cookie."""
        now = self._clock()
        self._sweep(now)
        theirs = [key for key, each in self._sessions.items() if each.operator_id == operator_id]
        for key in theirs[: max(0, len(theirs) - MOST_PER_OPERATOR + 1)]:  # oldest first
            del self._sessions[key]
        session_id = secrets.token_urlsafe(32)
        session = Session(operator_id, operator, secrets.token_urlsafe(32), now, now)
        self._sessions[_key(session_id)] = session
        return session_id, session

    def find(self, session_id: str, *, touch: bool = True) -> Session | None:
        """The session of a cookie; ``None`` if there is none or it has ended.

        ``touch``: an operator asked. A page that renews itself does not keep a session alive.
        """
        now = self._clock()
        session = self._sessions.get(_key(session_id))
        if session is None or _over(session, now):
            self.end(session_id)
            return None
        if touch:
            session.used = now
        return session

    def end(self, session_id: str) -> None:
        """Log out."""
        self._sessions.pop(_key(session_id), None)

    def nonce(self) -> str:
        """A value for the cookie of the login form."""
        return secrets.token_urlsafe(16)

    def login_token(self, nonce: str) -> str:
        """The token of the login form that goes with the cookie ``nonce``."""
        return hmac.new(self._secret, b"login\0" + nonce.encode(), hashlib.sha256).hexdigest()

    def _sweep(self, now: float) -> None:
        for key in [key for key, each in self._sessions.items() if _over(each, now)]:
            del self._sessions[key]


def same(given: str, expected: str) -> bool:
    """Whether two tokens are equal, in constant time."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def _key(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()


def _over(session: Session, now: float) -> bool:
    return now - session.used > IDLE_SECONDS or now - session.began > WHOLE_SECONDS
