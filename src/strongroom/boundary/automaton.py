"""A compiled output schema: a finite automaton over bytes. Pure.

It is made outside the keeper (``strongroom.schemas``) from a schema that the operator registered,
and walked inside, where tokens are drawn.

1. States are numbers. ``DEAD`` is where no text leads on; ``START`` the beginning; ``END`` the one
   state in which the text is complete. Neither ``DEAD`` nor ``END`` leads anywhere but to ``DEAD``.
2. Bytes are grouped into classes: ``classes[b]`` is that of byte b. From state s, byte b leads to
   ``table[s * width + classes[b]]``, where ``table`` is little-endian uint16.
3. The language is finite: no state can be reached from itself. So any walk that goes on while it
   can reaches ``END``.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.errors import BoundaryRefused

DEAD: Final = 0
START: Final = 1
END: Final = 2

MAX_STATES: Final = 32_768
MAX_AUTOMATON_BYTES: Final = 8 * 2**20


class Automaton(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One automaton; see the module."""

    classes: Annotated[bytes, Meta(min_length=256, max_length=256)]
    width: Annotated[int, Meta(ge=1, le=256)]
    table: Annotated[bytes, Meta(max_length=MAX_AUTOMATON_BYTES)]

    @property
    def states(self) -> int:
        """How many states it has."""
        return len(self.table) // (2 * self.width)


def encode(automaton: Automaton) -> bytes:
    """Its bytes: MessagePack."""
    return msgspec.msgpack.encode(automaton)


def decode(raw: bytes) -> Automaton:
    """The automaton in ``raw``; all but rule 3 is checked.

    Raises:
        BoundaryRefused: ``boundary.bad_automaton``.
    """
    try:
        found = msgspec.msgpack.decode(raw, type=Automaton)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _bad() from None
    width, states = found.width, found.states
    whole = len(found.table) == 2 * width * states
    if not whole or not END < states <= MAX_STATES or max(found.classes) >= width:
        raise _bad()
    entries = memoryview(found.table).cast("H")
    still = any(
        found.table[2 * width * at : 2 * width * (at + 1)].strip(b"\0") for at in (DEAD, END)
    )
    if sys.byteorder != "little" or max(entries) >= states or still:
        raise _bad()
    return found


def _bad() -> BoundaryRefused:
    return BoundaryRefused(
        "boundary.bad_automaton",
        "The bytes are not an output schema in compiled form.",
        action="Start it through `strongroom serve`, which compiles the registered schemas.",
    )
