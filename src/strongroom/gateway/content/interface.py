"""The content policy hook.

A policy judges a caller's text once, before it is tokenised, and a model's text while it streams.
The contract of a ``Scan``, whatever the chunks:

1. text that the policy forbids is never returned, not even its first character;
2. what is returned, together with ``finish()``, is the text that was pushed, unchanged;
3. no more than ``held_limit`` characters are held back between two calls;
4. a policy that cannot judge refuses: it never lets text pass unjudged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from strongroom.gateway.refusals import Refusal

MAX_HELD: Final = 8192
"""Most characters that any scan may hold back."""


class Scan(ABC):
    """One answer under way, judged piece by piece. After a refusal it is not used again."""

    held_limit: int

    @abstractmethod
    async def push(self, text: str) -> str:
        """Add text; return what may be shown now. ``gateway.content_refused`` if forbidden."""

    @abstractmethod
    async def finish(self) -> str:
        """The rest, once no more can come. ``gateway.content_refused`` if forbidden."""


class ContentPolicy(ABC):
    """Judges what goes in and what comes out. Its errors and logs quote no text."""

    @abstractmethod
    async def check_input(self, text: str) -> None:
        """Refuse a caller's text: ``gateway.content_refused`` or ``gateway.content_unjudged``."""

    @abstractmethod
    def output(self) -> Scan:
        """A scan of one answer."""

    async def close(self) -> None:  # noqa: B027 - most policies hold nothing open
        """Let go of what is open."""


def refused(rule: str) -> Refusal:
    """403: the operator's rule of that name forbids the text."""
    return Refusal(
        "gateway.content_refused",
        f"The content policy of this service forbids this text (rule `{rule}`).",
        action="Ask for something else.",
        status=403,
    )


def unjudged() -> Refusal:
    """503: no judgement could be had, so nothing passes."""
    return Refusal(
        "gateway.content_unjudged",
        "The content policy of this service could not be asked.",
        action="Try again later.",
        status=503,
        headers=((b"retry-after", b"5"),),
    )
