"""The record that whoever started a release process keeps of its decisions: a line out, one back.

1. A decision goes out as one line of JSON.
2. It counts as recorded once a line comes back that names it (``Recorded``): it is durable then.
3. Answers to earlier decisions, which came too late, are passed over.
4. Whoever hangs up, says something else or stays silent for ``patience`` keeps no record: nothing
   is released (``ReleaseService``, rule 9).
"""

from __future__ import annotations

import os
import select
import time
from typing import Final

import msgspec

from strongroom.errors import EnvironmentLacks
from strongroom.release.record import Decision

PATIENCE_SECONDS: Final = 15.0
MAX_LINE_BYTES: Final = 4096
_CHUNK: Final = 4096


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decision of this id is in the record, durably."""

    recorded: str


def acknowledgement(decision: str) -> bytes:
    """The line by which the record's keeper says that it has the decision of this id."""
    return msgspec.json.encode(Recorded(decision)) + b"\n"


class Recorder:
    """Hands decisions to whoever holds the other ends of two pipes, and waits for them.

    Args:
        out: descriptor that decisions are written to.
        answers: descriptor that acknowledgements are read from.
        patience: seconds to wait for one.
    """

    def __init__(self, out: int, answers: int, patience: float = PATIENCE_SECONDS) -> None:
        self._out, self._answers, self._patience = out, answers, patience
        self._heard = bytearray()

    def __call__(self, decision: Decision) -> None:
        """Rules 1 to 4; returns once the decision is recorded.

        Raises:
            EnvironmentLacks: ``release.no_record``.
        """
        line = msgspec.json.encode(decision) + b"\n"
        until = time.monotonic() + self._patience
        try:
            while line:
                line = line[os.write(self._out, line) :]
            while self._next(until) != decision.decision:  # (3)
                pass
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _no_record(type(error).__name__) from None

    def _next(self, until: float) -> str:
        """The decision that the next line names."""
        while b"\n" not in self._heard:
            poll = select.poll()
            poll.register(self._answers, select.POLLIN)
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise _no_record("it is silent")
            chunk = os.read(self._answers, _CHUNK)
            if not chunk:
                raise _no_record("it hung up")
            self._heard += chunk
            if len(self._heard) > MAX_LINE_BYTES:
                raise _no_record("it says too much")
        line, _, rest = bytes(self._heard).partition(b"\n")
        self._heard[:] = rest
        return msgspec.json.decode(line, type=Recorded).recorded


def _no_record(why: str) -> EnvironmentLacks:
    return EnvironmentLacks(
        "release.no_record",
        f"Whoever keeps the record did not say that a decision is in it ({why}).",
        action="Start key release through `strongroom serve`, which keeps the record.",
    )
