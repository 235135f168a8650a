"""Forbidden patterns, matched by RE2 in time linear in the text.

All rules are one alternation: RE2 then falls back to a slower engine when its automaton outgrows
its memory, whereas its sets of patterns report no match, which would let text pass.

A match is at most ``longest`` characters. So a character may be shown once the ``longest - 1``
after it are known: any forbidden match that begins with it has been seen by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from strongroom.errors import EnvironmentLacks
from strongroom.gateway.content.config import Rule
from strongroom.gateway.content.interface import MAX_HELD, ContentPolicy, Scan, refused
from strongroom.gateway.content.pattern_width import unusable, width

_EDGE: Final = r"[^\pL\pN_]"
_BOUND: Final = "\n"
"""Stands before and after every text, so that a whole word may be its first or last."""

_MEMORY: Final = 64 * 2**20


class Blocklist(ContentPolicy):
    """Refuses text in which any rule matches.

    Raises:
        ConfigurationRefused: ``gateway.content_pattern``.
        EnvironmentLacks: ``gateway.content_needs_re2``.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._input = _Matcher([rule for rule in rules if rule.input])
        self._output = _Matcher([rule for rule in rules if rule.output])

    async def check_input(self, text: str) -> None:
        """See ``ContentPolicy``."""
        self._input.refuse(_BOUND + text + _BOUND)

    def output(self) -> Scan:
        """See ``ContentPolicy``."""
        return _Tail(self._output)


class _Matcher:
    """Rules compiled together, and one by one to name the one that matched."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        re2 = _re2()
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        self._rules: list[tuple[str, Any]] = []
        self.longest = 1
        sources = []
        for rule in rules:
            edges = _EDGE if rule.whole_words else ""
            source = f"(?{'i' if rule.ignore_case else ''}s:{edges}(?:{rule.pattern}){edges})"
            self.longest = max(self.longest, width(rule.pattern) + 2 * rule.whole_words)
            self._rules.append((rule.name, _compiled(re2, source, options)))
            sources.append(source)
        if self.longest > MAX_HELD:
            raise unusable(f"a match may be longer than {MAX_HELD} characters")
        self._any = _compiled(re2, "|".join(sources), options) if sources else None

    def refuse(self, text: str) -> None:
        if self._any is not None and self._any.search(text) is not None:
            found = (name for name, rule in self._rules if rule.search(text) is not None)
            raise refused(next(found, "content"))


class _Tail(Scan):
    """Holds back ``longest - 1`` characters."""

    def __init__(self, matcher: _Matcher) -> None:
        self._matcher = matcher
        self.held_limit = matcher.longest - 1
        self._held = _BOUND
        self._bound = len(_BOUND)
        """Characters at the head of what is held that are not the answer's."""

    async def push(self, text: str) -> str:
        known = self._held + text
        self._matcher.refuse(known)
        return self._show(known, max(self._bound, len(known) - self.held_limit))

    async def finish(self) -> str:
        self._matcher.refuse(self._held + _BOUND)
        return self._show(self._held, len(self._held))

    def _show(self, known: str, end: int) -> str:
        shown = known[self._bound : end]
        if shown:
            self._held, self._bound = known[end:], 0
        else:
            self._held = known
        return shown


def _compiled(re2: Any, source: str, options: Any) -> Any:
    try:
        compiled = re2.compile(source, options)
    except re2.error:
        raise unusable("RE2 does not accept it") from None
    if compiled.search("") is not None or compiled.search(_BOUND) is not None:
        raise unusable("it matches empty text or a line's end")
    return compiled


def _re2() -> Any:
    try:
        import re2
    except ImportError:
        raise EnvironmentLacks(
            "gateway.content_needs_re2",
            "The content policy has rules, and RE2 is not installed.",
            action="Install `strongroom[content]`.",
        ) from None
    return re2
