"""The closed schema of OpenAI-compatible requests, and their meaning in our own terms.

What a caller sent ends here: everything behind this module works on ``Generation``, a value of
our own making, and forwards only that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from strongroom.gateway.denied import strip_denied
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import Fields, bad_request, decode_fields
from strongroom.gateway.structured import Registered, take_schema
from strongroom.gateway.text_rules import TextPolicy, clean_text

MAX_MESSAGES = 1024
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 256
_LARGEST_MAX_TOKENS = 2**31

NO_SCHEMAS: Registered = {}

Role = Literal["system", "user", "assistant"]


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of request structs: an unknown field is refused."""


class TextPart(_Closed, frozen=True):
    """One part of a message's content; only text."""

    type: Literal["text"]
    text: str


Content = str | Annotated[list[TextPart], Meta(min_length=1, max_length=256)]


class ChatMessage(_Closed, frozen=True):
    """One message as sent."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class StreamOptions(_Closed, frozen=True):
    """``include_usage`` asks for a last chunk that counts tokens."""

    include_usage: bool = False
    include_obfuscation: bool = False


_MaxTokens = Annotated[int, Meta(ge=1, le=_LARGEST_MAX_TOKENS)] | None
_Stop = str | Annotated[list[str], Meta(max_length=MAX_STOPS)] | None
_Metadata = Annotated[dict[str, str], Meta(max_length=16)] | None
_Identifier = Annotated[str, Meta(max_length=512)] | None
_Top = Annotated[int, Meta(ge=0, le=5)] | None


class _Request(_Closed, frozen=True, kw_only=True):
    """What both kinds of request have. The identifiers are accepted and dropped."""

    model: Annotated[str, Meta(max_length=256)]
    max_tokens: _MaxTokens = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    stop: _Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: _Identifier = None
    safety_identifier: _Identifier = None
    metadata: _Metadata = None


class ChatRequest(_Request, frozen=True, kw_only=True):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: _MaxTokens = None
    logprobs: bool | None = None
    top_logprobs: _Top = None


class CompletionRequest(_Request, frozen=True, kw_only=True):
    """Body of ``POST /v1/completions``."""

    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=1)]
    logprobs: _Top = None


class Message(msgspec.Struct, frozen=True):
    """One message in our own terms."""

    role: Role
    content: str


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request to generate; ``messages`` for a chat, else ``prompt``.

    ``max_tokens`` ``None`` takes the default. ``scores`` is how many likeliest tokens the keeper
    is asked for at each position (0: none), ``shown`` how many of them the caller wanted listed.
    ``schema`` is the registered schema that the answer is held to.
    """

    model: str
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    max_tokens: int | None
    temperature: float
    top_p: float
    stops: tuple[str, ...]
    stream: bool
    include_usage: bool
    scores: int = 0
    shown: int = 0
    schema: str = ""


_chat = msgspec.json.Decoder(ChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)


def chat_generation(
    fields: Fields, most_scores: int, policy: TextPolicy, registered: Registered = NO_SCHEMAS
) -> Generation:
    """The meaning of a chat request. ``most_scores`` is what the caller's rung grants (0 to 5).

    Raises:
        Refusal: 400, with the field's name.
    """
    granted = _granted(most_scores)
    schema = take_schema(fields, registered)
    strip_denied(fields, granted)
    request = decode_fields(fields, _chat)
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise bad_request(
            "Give only one of `max_tokens` and `max_completion_tokens`.", "max_tokens"
        )
    shown = request.top_logprobs or 0
    if shown and not request.logprobs:
        raise bad_request("`top_logprobs` needs `logprobs` to be true.", "top_logprobs")
    _check_scores(shown, most_scores, "top_logprobs")
    if schema and (request.logprobs or request.stop):
        raise bad_request(
            "`response_format` goes with neither `logprobs` nor `stop`.", "response_format"
        )
    return Generation(
        model=request.model,
        messages=tuple(_message(m, i, policy) for i, m in enumerate(request.messages)),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        scores=max(shown, 1) if request.logprobs else 0,
        shown=shown,
        schema=schema,
        **_shared(request, policy),
    )


def completion_generation(
    fields: Fields, most_scores: int, policy: TextPolicy, _registered: Registered = NO_SCHEMAS
) -> Generation:
    """The meaning of a completion request, which has no schema; see ``chat_generation``."""
    strip_denied(fields, _granted(most_scores))
    request = decode_fields(fields, _completion)
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    shown = request.logprobs or 0
    _check_scores(shown, most_scores, "logprobs")
    wanted = request.logprobs is not None
    return Generation(
        model=request.model,
        prompt=clean_text(prompt, "prompt", policy),
        max_tokens=request.max_tokens,
        scores=max(shown, 1) if wanted else 0,
        shown=shown,
        **_shared(request, policy),
    )


def _granted(most_scores: int) -> frozenset[str]:
    if most_scores == 0:
        return frozenset()
    return frozenset({"logprobs", "top_logprobs"} if most_scores > 1 else {"logprobs"})


def _check_scores(wanted: int, most: int, param: str) -> None:
    if wanted > max(most, 1):
        raise bad_request(f"`{param}` can be {most} at most at your rung.", param)


def _shared(request: _Request, policy: TextPolicy) -> dict[str, Any]:
    options = request.stream_options
    if options is not None and not request.stream:
        raise bad_request("`stream_options` needs `stream` to be true.", "stream_options")
    return {
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "stops": _stops(request.stop, policy),
        "stream": bool(request.stream),
        "include_usage": options is not None and options.include_usage,
    }


def _stops(stop: str | list[str] | None, policy: TextPolicy) -> tuple[str, ...]:
    stops = () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)
    stops = tuple(clean_text(text, "stop", policy) for text in stops)
    for text in stops:
        if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
            raise bad_request(f"Each `stop` has 1 to {MAX_STOP_CHARACTERS} characters.", "stop")
    return stops


def _message(message: ChatMessage, index: int, policy: TextPolicy) -> Message:
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    role: Role = "system" if message.role == "developer" else message.role
    if role == "system" and policy.system_role == "refuse":
        raise Refusal(
            "gateway.role_not_accepted",
            f"`messages[{index}].role` is `{message.role}`, which this service does not accept.",
            action="Speak as `user` and `assistant` only.",
            param=f"messages[{index}].role",
        )
    return Message(role, clean_text(text, f"messages[{index}].content", policy))
