"""What the gate's process and its runner say to each other, one whole message each, in this order.

1. The process: ``Speech``, how text becomes ids. It holds weights and no tokenizer.
2. The runner: ``Questions``, as token ids, once it has read the owner's files.
3. The process: ``Answer``, figures, and the encrypted file if there is one.
"""

from __future__ import annotations

import os
import struct
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from strongroom.errors import BoundaryRefused
from strongroom.tune.export.gate import Verdict

MOST_BYTES: Final = 2**31
_SIZE: Final = struct.Struct(">Q")

Ids = Annotated[tuple[Annotated[int, Meta(ge=0, lt=2**31)], ...], Meta(min_length=1)]
_T = TypeVar("_T", bound=msgspec.Struct)


class Questions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Packed examples (``tune.frames``), canaries in groups, and prompts by trigger.

    ``prompts[0]`` are without a trigger, the others with one each, in the same order.
    """

    members: bytes = b""
    held: bytes = b""
    canaries: tuple[bytes, ...] = ()
    prompts: tuple[tuple[Ids, ...], ...] = ()


class Place(msgspec.Struct, frozen=True):
    """One matrix: norm of its change over its weight's, share of the squared norm in the first
    direction, ratio of the second singular value to the first, and why it is flagged, if it is."""

    place: str
    change: float
    alone: float
    ratio: float
    flag: str = ""


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The oracle's figure at one place; None: it could not be judged."""

    place: str
    token: int
    cosine: float | None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The verdict and what it rests on; ``sealed`` is the age file, empty if nothing leaves."""

    verdict: Verdict
    scan: tuple[Place, ...] = ()
    oracle: tuple[Read, ...] = ()
    merges: dict[str, float] = {}
    walls: dict[str, str] = {}
    sealed: bytes = b""


class HungUp(Exception):
    """The other side ended before its message did."""


def send(descriptor: int, message: msgspec.Struct) -> None:
    """One message; ``HungUp`` if nobody reads it."""
    raw = msgspec.msgpack.encode(message)
    left = memoryview(_SIZE.pack(len(raw)) + raw)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except ConnectionError:
        raise HungUp from None


def receive(descriptor: int, form: type[_T]) -> _T:
    """The next message.

    Raises:
        HungUp: it does not come.
        BoundaryRefused: ``tune.bad_frame``.
    """
    (size,) = _SIZE.unpack(_exactly(descriptor, _SIZE.size))
    if size > MOST_BYTES:
        raise _bad()
    try:
        return msgspec.msgpack.decode(_exactly(descriptor, size), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _bad() from None


def _exactly(descriptor: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        try:
            part = os.read(descriptor, min(size - len(found), 1 << 20))
        except ConnectionError:
            raise HungUp from None
        if not part:
            raise HungUp
        found += part
    return bytes(found)


def _bad() -> BoundaryRefused:
    return BoundaryRefused(
        "tune.bad_frame",
        "A message between an adapter's gate and its runner cannot be used.",
        action="Run the same version on both sides.",
    )
