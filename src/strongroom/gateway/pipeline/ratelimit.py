"""How limits stand, in the words that OpenAI's clients know: headers, and the refusal itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final

from strongroom.gateway.refusals import Refusal
from strongroom.store.limits import Denied, Standing

_NAMES: Final = {
    "requests": b"requests",
    "input_tokens": b"input-tokens",
    "output_tokens": b"output-tokens",
    "compute_ms": b"compute-ms",
    "egress_millibits": b"egress-millibits",
}
_WORDS: Final = {
    "requests": "requests",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "compute_ms": "milliseconds of compute",
    "egress_millibits": "thousandths of a bit of egress",
    "concurrent": "requests at the same time",
    "burst": "requests at once",
}
_WHEN: Final = {"minute": "a minute", "day": "a day", "total": "in all"}
_TOKENS: Final = frozenset({"input_tokens", "output_tokens"})
_SPACED: Final = frozenset({"concurrent", "burst"})
_LONGEST_RETRY: Final = 86_400

Headers = list[tuple[bytes, bytes]]


def headers(standings: Iterable[Standing]) -> Headers:
    """``x-ratelimit-{limit,remaining,reset}-*`` of each resource that has a limit.

    OpenAI has one limit of tokens, here input and output have their own: ``-tokens`` is the one
    of the two of which the smaller part is left, and both are there under their own names.
    """
    found: Headers = []
    tokens: Standing | None = None
    for standing in standings:
        found += _three(_NAMES[standing.resource], standing)
        if standing.resource in _TOKENS and (tokens is None or _tighter(standing, tokens)):
            tokens = standing
    return found if tokens is None else [*found, *_three(b"tokens", tokens)]


def _three(name: bytes, standing: Standing) -> Headers:
    limit, remaining, reset = _names(name)
    return [
        (limit, b"%d" % standing.limit),
        (remaining, b"%d" % standing.remaining),
        (reset, _reset(standing.reset_us)),
    ]


@cache
def _names(name: bytes) -> tuple[bytes, bytes, bytes]:
    return (
        b"x-ratelimit-limit-" + name,
        b"x-ratelimit-remaining-" + name,
        b"x-ratelimit-reset-" + name,
    )


@lru_cache(maxsize=256)
def _reset(microseconds: int) -> bytes:
    """While anything is held, it is the whole window: few values are common."""
    return duration(microseconds).encode()


def _tighter(one: Standing, other: Standing) -> bool:
    return one.remaining * other.limit < other.remaining * one.limit


def duration(microseconds: int) -> str:
    """As OpenAI writes durations: ``12ms``, ``1s``, ``8.64s``, ``6m0s``, ``23h59m59.5s``.

    Rounded up to a millisecond, so that nobody comes too early.
    """
    milliseconds = -(-microseconds // 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 1000}.{rest % 1000:03}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def denial(denied: Denied) -> Refusal:
    """429 ``gateway.limit_reached``, or ``gateway.limit_too_small`` where waiting brings nothing.

    ``retry-after`` is in whole seconds, rounded up; without it, official clients ask again soon, so
    where waiting is useless ``x-should-retry: false`` stops them.
    """
    what = _WORDS[denied.resource]
    when = "" if denied.resource in _SPACED else f" {_WHEN[denied.window]}"
    sentence = f"The limit of your {denied.subject}, {denied.limit} {what}{when}, "
    if denied.retry_after_us is None:
        return Refusal(
            "gateway.limit_too_small",
            sentence + "does not cover this request.",
            action="Ask for less, or ask whoever runs this service for a higher limit.",
            status=429,
            headers=((b"x-should-retry", b"false"),),
        )
    seconds = min(_LONGEST_RETRY, max(1, -(-denied.retry_after_us // 1_000_000)))
    return Refusal(
        "gateway.limit_reached",
        sentence + f"has no room now; {denied.remaining} are left.",
        action=f"Try again in {seconds} seconds.",
        status=429,
        headers=((b"retry-after", b"%d" % seconds),),
    )
