"""Ids that nobody can guess, drawn in bulk.

``os.urandom`` lets go of the interpreter's lock: while the log's thread works, each call waits
for its turn. One call for some hundred ids makes that cheap.
"""

from __future__ import annotations

import os
from typing import Final

_BYTES: Final = 12
_DRAWN: Final = 256

_pool: list[str] = []


def new_id(prefix: str) -> str:
    """``prefix`` and 24 hex digits."""
    if not _pool:
        drawn = os.urandom(_BYTES * _DRAWN).hex()
        _pool.extend(drawn[at : at + 2 * _BYTES] for at in range(0, len(drawn), 2 * _BYTES))
    return prefix + _pool.pop()
