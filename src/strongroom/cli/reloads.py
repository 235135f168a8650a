"""What ``serve`` does when its keeper could not go on through nobody's decision: once more.

A weight that changed in memory is there again when the sealed model is opened afresh. A lease that
ended because key release was gone is there again when a new key release allows it. A lease that key
release refused to renew is not: that was a decision, and it stands until somebody starts again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from strongroom.cli import output
from strongroom.cli.supervisor import ChildFailed

MOST: Final = 3
"""How often in one ``serve``. A machine that goes on flipping bits is to be left; so is one that
takes longer to start than a lease lasts."""

_AFRESH: Final = {
    "keeper.weights_altered": "A weight changed in memory: opening the sealed model afresh.",
    "keeper.lease_over": "The lease of the key ended unrenewed: asking for the key anew.",
}


def until_asked(live: Callable[[], int]) -> int:
    """Serve to the end, afresh where that may help; returns what ``live`` does.

    Raises:
        ChildFailed: as ``live`` does, for any other reason or too often.
    """
    for _ in range(MOST):
        try:
            return live()
        except ChildFailed as failed:
            if failed.code not in _AFRESH:
                raise
            output.note(_AFRESH[failed.code])
    return live()
