"""How limits stand, in the words that OpenAI's clients know: headers, and the refusal itself."""

from __future__ import annotations

from collections.abc import Iterable
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
_SPACED: Final = frozenset({"concurrent", "burst"})
_LONGEST_RETRY: Final = 86_400

Headers = list[tuple[bytes, bytes]]


def headers(standings: Iterable[Standing]) -> Headers:
    """``x-ratelimit-{limit,remaining,reset}-*`` of each resource that has a limit."""
    found: Headers = []
    for standing in standings:
        name = _NAMES[standing.resource]
        found += (
            (b"x-ratelimit-limit-" + name, b"%d" % standing.limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % standing.remaining),
            (b"x-ratelimit-reset-" + name, b"%.3fs" % (standing.reset_us / 1e6)),
        )
    return found


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
