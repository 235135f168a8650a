"""The closed set of frames between the runner of a job or session and the process that trains.

The runner holds no weights: it sends token ids and sealed checkpoints, and receives the tokenizer,
rounded losses and sealed checkpoints. Unknown fields are refused on both sides; what is larger than
a frame travels in ``Part``s whose sum was announced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom import framing
from strongroom.errors import BoundaryRefused
from strongroom.tune.dataset import Example
from strongroom.tune.policy import Policy, Recipe

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""A tokenizer travels in ``Ready``."""

PART_BYTES: Final = 1024 * 1024
MAX_BLOB_BYTES: Final = 2**31

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Size = Annotated[int, Meta(ge=0, le=MAX_BLOB_BYTES)]
_Name = Annotated[str, Meta(max_length=1024)]
JobId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9\-]{1,64}\Z")]


class _Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all frames."""


class Speech(_Frame, frozen=True, tag="speech"):
    """How text becomes ids, from the sealed files, and how many ids and places there are."""

    tokenizer: bytes
    chat_template: str
    special_tokens: dict[str, str]
    vocab_size: _Count
    positions: _Count


class Ready(_Frame, frozen=True, tag="ready"):
    """The base is open and the walls stand."""

    speech: Speech
    walls: Annotated[dict[_Name, _Name], Meta(max_length=64)]


class Progress(_Frame, frozen=True, tag="progress"):
    """``step`` steps are done; ``loss`` is rounded, None before anything may show."""

    step: _Count
    loss: float | None


class Part(_Frame, frozen=True, tag="part"):
    """The next bytes of what was announced."""

    data: Annotated[bytes, Meta(min_length=1, max_length=PART_BYTES)]


class Checkpoint(_Frame, frozen=True, tag="checkpoint"):
    """So many sealed bytes follow: a checkpoint, or with ``result`` the adapter that is done."""

    step: _Count
    size: _Size
    result: bool = False


class Begin(_Frame, frozen=True, tag="begin"):
    """Train: a dataset and, unless its size is 0, a checkpoint follow."""

    recipe: Recipe
    dataset: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    dataset_size: _Size
    checkpoint_size: _Size
    checkpoint_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60.0


class Stop(_Frame, frozen=True, tag="stop"):
    """End after the step that runs now, with a checkpoint."""


class Open(_Frame, frozen=True, tag="open"):
    """Hold a session (``session``); unless its size is 0, a checkpoint follows."""

    recipe: Recipe
    policy: Policy
    checkpoint_size: _Size


class Learn(_Frame, frozen=True, tag="learn"):
    """Gather conversations, which follow; answered by ``Learned``."""

    size: _Size


class Update(_Frame, frozen=True, tag="update"):
    """Take a step along what was gathered; answered by ``Progress``."""

    rate: float


class Keep(_Frame, frozen=True, tag="keep"):
    """Answered by a ``Checkpoint`` to go on from."""


class Save(_Frame, frozen=True, tag="save"):
    """Answered by ``Saved``: the adapter as it is, as the result of the job ``job``."""

    job: JobId


class Learned(_Frame, frozen=True, tag="learned"):
    """``loss`` is rounded, None where none may show."""

    loss: float | None


class Saved(_Frame, frozen=True, tag="saved"):
    """So many sealed bytes follow; what was done to make them, in a job's words."""

    recipe: Recipe
    dataset: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    examples: _Count
    tokens: _Count
    size: _Size


class Refused(_Frame, frozen=True, tag="refused"):
    """What was asked last cannot be; the session goes on."""

    code: _Name
    message: _Name
    action: _Name


ToRunner = Ready | Progress | Checkpoint | Part | Learned | Saved | Refused
ToTrainer = Begin | Part | Stop | Open | Learn | Update | Keep | Save

_encode = msgspec.msgpack.Encoder().encode
_to_runner: msgspec.msgpack.Decoder[ToRunner] = msgspec.msgpack.Decoder(ToRunner)
_to_trainer: msgspec.msgpack.Decoder[ToTrainer] = msgspec.msgpack.Decoder(ToTrainer)


def encode(frame: ToRunner | ToTrainer) -> bytes:
    """A frame as it is sent."""
    return framing.encode(_encode(frame), MAX_FRAME_BYTES)


def parts(blob: bytes) -> Iterator[bytes]:
    """``blob`` as the frames in which it is sent."""
    for at in range(0, len(blob), PART_BYTES):
        yield encode(Part(blob[at : at + PART_BYTES]))


def decode_to_runner(payload: bytes) -> ToRunner:
    """A frame of the training process.

    Raises:
        BoundaryRefused: ``tune.bad_frame``.
    """
    try:
        return _to_runner.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _bad("it is none of those agreed") from None


def decode_to_trainer(payload: bytes) -> ToTrainer:
    """A frame of the runner; see ``decode_to_runner``."""
    try:
        return _to_trainer.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _bad("it is none of those agreed") from None


def _bad(why: str) -> BoundaryRefused:
    return BoundaryRefused(
        "tune.bad_frame",
        f"A frame between a tuning job and its runner cannot be used: {why}.",
        action="Run the same version on both sides.",
    )


class Gathering:
    """Puts together a blob of ``size`` bytes from its parts."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._blob = bytearray()

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self._left == 0

    def add(self, frame: object) -> None:
        """The next part.

        Raises:
            BoundaryRefused: ``tune.bad_frame``: it is none, or more than was announced.
        """
        if not isinstance(frame, Part) or len(frame.data) > self._left:
            raise _bad("a part of what was announced was due")
        self._left -= len(frame.data)
        self._blob += frame.data

    def take(self) -> bytes:
        """The blob."""
        return bytes(self._blob)


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    ids: tuple[Annotated[int, Meta(ge=0, lt=2**31)], ...]
    learnt: tuple[bool, ...]


_rows: msgspec.msgpack.Decoder[tuple[_Row, ...]] = msgspec.msgpack.Decoder(tuple[_Row, ...])


def pack_examples(examples: tuple[Example, ...]) -> bytes:
    """A dataset as it is stored and sent."""
    return _encode([_Row(example.ids, example.learnt) for example in examples])


def count_examples(packed: bytes) -> int:
    """How many a packed dataset has."""
    return len(_rows.decode(packed))


def unpack_examples(packed: bytes, vocab_size: int, positions: int) -> tuple[Example, ...]:
    """A dataset that was stored.

    Raises:
        BoundaryRefused: ``tune.bad_frame``: it is none, or an example does not fit the model.
    """
    try:
        rows = _rows.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _bad("the dataset cannot be read") from None
    for row in rows:
        fits = positions >= len(row.ids) == len(row.learnt) > 1
        if not fits or max(row.ids) >= vocab_size or not any(row.learnt[1:]):
            raise _bad("an example of the dataset does not fit the model")
    return tuple(Example(row.ids, row.learnt) for row in rows)
