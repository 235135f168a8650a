"""What an attack on a language model is asked about, where a bare text does not say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Secret:
    """A secret of digits and the text that leads to it; how often it was planted is the judge's."""

    prefix: str
    digits: str


@dataclass(frozen=True)
class Continuation:
    """A text in two parts: the auditor asks how likely ``suffix`` follows ``prefix``."""

    prefix: str
    suffix: str


@dataclass(frozen=True)
class Goal:
    """A target for prompts: after ``question`` and what the attack adds, say ``answer``.

    ``before`` and ``after`` are the template's parts around the user's message.
    """

    question: str
    answer: str
    before: str = ""
    after: str = ""
