"""The model owner's chat template, rendered so that a caller's text stays apart from it.

1. Each content is replaced by an unguessable placeholder, its surrounding white space kept, so
   that a template that trims does so.
2. The template is rendered in Jinja's immutable sandbox; its output is bounded. Short shapes
   (roles and white space) are rendered once and kept.
3. The rendering is split at the placeholders; each must appear exactly once.
4. The pieces between are trusted; the contents, put back, are not. ``ModelTokenizer`` joins them.

At start-up sample conversations are rendered both ways, and the template is refused unless the
ids are those of the plain rendering.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import Message, Role
from strongroom.gateway.tokenizing import ModelTokenizer, TextPiece

_MOST_CHARACTERS: Final = 2**20
_SAMPLES: Final = (
    (Message("user", "What is the capital of France?"),),
    (
        Message("user", "Hello, who are you?"),
        Message("assistant", "I am a model."),
        Message("user", "Good. Then count to 3."),
    ),
)
_SYSTEM_SAMPLE: Final = (Message("system", "Answer briefly."), Message("user", "Hi there"))

_UNSTEADY: Final = re.compile(r"strftime_now|random|lipsum")
"""What may write something else the next time."""

_MOST_KEPT: Final = 1024
_MOST_TURNS_KEPT: Final = 8
_MOST_BLANK_KEPT: Final = 64
"""Conversations of the same roles and blanks are rendered alike: short ones are kept."""

_Shape = tuple[tuple[str, str, str], ...]
"""Of each message its role and the blanks before and behind its text."""


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the Jinja text.
        special_tokens: named tokens that the template may use (``bos_token``: ``<s>``, ...).
        tokenizer: the model's tokenizer.

    Raises:
        ConfigurationRefused: ``gateway.template_unsupported``.
    """

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], tokenizer: ModelTokenizer
    ) -> None:
        self._tokenizer = tokenizer
        self._special = dict(special_tokens)
        self._mark = secrets.token_hex(16)
        self._marks = re.compile(f"x{self._mark}([0-9]+)x")
        self._steady = not _UNSTEADY.search(source)
        self._kept = lru_cache(_MOST_KEPT)(self._parts)
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise _unsupported(f"it does not compile ({type(error).__name__})") from None
        for sample in _SAMPLES:
            self._prove(sample)
        self.takes_system = self._takes_system()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation, up to where the assistant begins to speak.

        Raises:
            Refusal: 400 ``gateway.conversation_not_supported``: the template has no form for this
                order of roles; ``gateway.control_token``.
        """
        return self._tokenizer.encode_pieces(self._pieces(messages))

    def around(self, roles: Sequence[Role]) -> tuple[str | int, ...]:
        """What the template writes around messages of these roles, and their numbers between it.

        Raises:
            Refusal: 400 ``gateway.conversation_not_supported``.
        """
        return self._parts(tuple((role, "", "") for role in roles))

    def _prove(self, sample: Sequence[Message]) -> None:
        try:
            spliced = self.encode(sample)
            plain = self._render([{"role": m.role, "content": m.content} for m in sample])
        except (Refusal, TemplateError) as error:
            raise _unsupported(f"a plain conversation fails ({error})") from None
        if spliced != self._tokenizer.encode_reference(plain):
            raise _unsupported("text put in between its pieces is not tokenised as in one text")

    def _takes_system(self) -> bool:
        try:
            self.encode(_SYSTEM_SAMPLE)
        except Refusal:
            return False
        self._prove(_SYSTEM_SAMPLE)
        return True

    def _pieces(self, messages: Sequence[Message]) -> list[TextPiece]:
        split = [_split_blank(message.content) for message in messages]  # step 1
        shape = tuple(
            (message.role, lead, trail)
            for message, (lead, _, trail) in zip(messages, split, strict=True)
        )
        small = (
            len(shape) <= _MOST_TURNS_KEPT
            and sum(len(lead) + len(trail) for _, lead, trail in shape) <= _MOST_BLANK_KEPT
        )
        parts = (self._kept if small and self._steady else self._parts)(shape)
        return [
            TextPiece(part, trusted=True)
            if isinstance(part, str)
            else TextPiece(split[part][1], trusted=False)
            for part in parts
        ]

    def _parts(self, shape: _Shape) -> tuple[str | int, ...]:
        """Step 2: what the template writes, and between it the numbers of the messages.

        No text of a caller is rendered, so that nobody can write a mark but this function: `x` on
        both sides keeps a neighbouring digit from running into the number.
        """
        shown = [
            {"role": role, "content": f"{lead}x{self._mark}{number}x{trail}"}
            for number, (role, lead, trail) in enumerate(shape)
        ]
        try:
            rendered = self._render(shown)
        except TemplateError as error:
            raise _no_form(type(error).__name__) from None
        parts = self._marks.split(rendered)
        if sorted(map(int, parts[1::2])) != list(range(len(shape))):
            raise _no_form("a message would be left out or repeated")
        return tuple(int(part) if index % 2 else part for index, part in enumerate(parts))

    def _render(self, messages: list[dict[str, str]]) -> str:
        """Step 2. Everything but ``TemplateError`` that a template can raise becomes one."""
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._template.generate(
                messages=messages,
                add_generation_prompt=True,
                tools=None,
                documents=None,
                **self._special,
            ):
                length += len(piece)
                if length > _MOST_CHARACTERS:
                    raise SecurityError("the rendering is too long")
                pieces.append(piece)
        except TemplateError:
            raise
        except Exception as error:
            raise TemplateError(type(error).__name__) from None
        return "".join(pieces)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now(UTC).strftime(form)


def _split_blank(text: str) -> tuple[str, str, str]:
    core = text.strip()
    if not core:
        return text, "", ""
    start = text.index(core)
    return text[:start], core, text[start + len(core) :]


def _no_form(reason: str) -> Refusal:
    return Refusal(
        "gateway.conversation_not_supported",
        f"The model's chat template has no form for this conversation: {reason}.",
        action="Let user and assistant take turns, beginning with the user.",
        param="messages",
    )


def _unsupported(reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.template_unsupported",
        f"The model's chat template cannot be used safely: {reason}.",
        action="Seal the model with a template that shows each message exactly once.",
    )
