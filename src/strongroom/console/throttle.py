"""How often one may try to log in: few times a minute from one address.

A key has 256 random bits, so this defends no key; it keeps guessing cheap to bear. There is no
limit over all addresses: with it anybody who reaches the page could lock the operators out.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60.0
PER_ADDRESS: Final = 5
_MOST_ADDRESSES: Final = 1024


class Throttle:
    """Counts failed log ins of the last minute.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until ``address`` may try again; 0: now."""
        own = self._by.get(address)
        if own is None or len(own) < PER_ADDRESS:
            return 0.0
        return max(0.0, own[0] + WINDOW_SECONDS - self._clock())

    def failed(self, address: str) -> None:
        """A log in from ``address`` has failed."""
        own = self._by.setdefault(address, deque(maxlen=PER_ADDRESS))
        self._by.move_to_end(address)
        own.append(self._clock())
        while len(self._by) > _MOST_ADDRESSES:
            self._by.popitem(last=False)
