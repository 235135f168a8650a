"""When and in what sizes a stream leaves, so that neither speaks of what is in it.

1. An event leaves at every tick, counted from the start of its request, and at no other moment:
   whatever came since the last tick is in it, and if nothing came it is an empty one.
2. Every event is padded to a multiple of ``pad_bytes``. The padding is an SSE comment line, which
   readers drop by that format's own rule.

So the gaps are ticks whatever the tokens took, and the sizes are one quantum unless a tick's text
is longer than that. What still shows: how many ticks an answer took, the time to its first token in
whole ticks, and a text that outgrows its quantum.
"""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_COMMENT: Final = b":"
_LINE_END: Final = b"\n"


class Pacing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tick_ms`` 0 sends what comes as it comes; ``pad_bytes`` 0 leaves sizes as they are."""

    tick_ms: Annotated[int, Meta(ge=0, le=10_000)] = 50
    pad_bytes: Annotated[int, Meta(ge=0, le=16_384)] = 512


def padded(events: bytes, quantum: int) -> bytes:
    """Whole SSE events behind a comment line that fills them to a multiple of ``quantum`` bytes.

    The line takes two bytes at least. 0 adds nothing.
    """
    if quantum == 0:
        return events
    missing = -(len(events) + len(_COMMENT) + len(_LINE_END)) % quantum
    return _COMMENT + b" " * missing + _LINE_END + events


class Ticks:
    """The moments at which one stream may send, on the event loop's clock, from now on.

    Args:
        tick_ms: the length of a tick; 0 has no ticks and never waits.
    """

    def __init__(self, tick_ms: int) -> None:
        self.fixed = tick_ms > 0
        self._seconds = tick_ms / 1000
        self._last = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Sleep until the next tick; those that passed while nobody waited are left out."""
        if self.fixed:
            now = asyncio.get_running_loop().time()
            # A loop of whole milliseconds may wake a little before the tick: that was it.
            passed = max(0, math.floor((now - self._last) / self._seconds))
            self._last += self._seconds * (passed + 1)
            await asyncio.sleep(self._last - now)
