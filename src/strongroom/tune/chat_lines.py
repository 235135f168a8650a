"""OpenAI's chat JSONL, read strictly: every other line is listed with its reason.

A line is ``{"messages": [{"role", "content"[, "weight"]}, ...]}``: system, user and assistant
messages with plain text, an assistant's last. ``weight`` (0 or 1, assistants only) says whether a
message is learnt from. Tools, images, names and unknown fields are refused, not passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

MAX_LINE_BYTES: Final = 2**20
MAX_MESSAGES: Final = 1_024

Role = Literal["system", "user", "assistant"]


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message; ``weight`` 1 means that an assistant's is learnt from."""

    role: Role
    content: str
    weight: Literal[0, 1] = 1


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[tuple[Turn, ...], Meta(min_length=2, max_length=MAX_MESSAGES)]


@dataclass(frozen=True, slots=True)
class BadLine:
    """``number`` counts from 1. ``reason`` is a sentence without anything of the line's text."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class GoodLine:
    """A conversation that can be learnt from."""

    number: int
    turns: tuple[Turn, ...]


def read_lines(raw: bytes) -> Iterator[GoodLine | BadLine]:
    """Every line of ``raw`` in order; a line feed at the very end is no further line."""
    lines = raw.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        yield _read(number, line.removesuffix(b"\r"))


class _Twice(ValueError):
    """An object names a member twice."""


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice
    return members


def _read(number: int, line: bytes) -> GoodLine | BadLine:
    if not line.strip():
        return BadLine(number, "it is empty")
    if len(line) > MAX_LINE_BYTES:
        return BadLine(number, f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        json.loads(line.decode("utf-8"), object_pairs_hook=_distinct)
        turns = msgspec.json.decode(line, type=_Line).messages
    except UnicodeDecodeError:
        return BadLine(number, "it is not UTF-8")
    except _Twice:
        return BadLine(number, "a field stands twice in one object")
    except msgspec.ValidationError as error:
        return BadLine(number, _where(error))
    except (ValueError, RecursionError):
        return BadLine(number, "it is not JSON")
    reason = fault(turns)
    return BadLine(number, reason) if reason else GoodLine(number, turns)


def _where(error: msgspec.ValidationError) -> str:
    """Which place is wrong, without what stands there: names of fields are the customer's too."""
    _, _, path = str(error).partition(" - at ")
    place = path.strip("`$.") or "the line"
    return f"{place} is missing, unknown, or of the wrong type"


def fault(turns: tuple[Turn, ...]) -> str:
    """Why a conversation cannot be learnt from; nothing if it can."""
    if any(not turn.content.strip() for turn in turns):
        return "a message has no text"
    if any("\0" in turn.content for turn in turns):
        return "a message holds a NUL character"
    if turns[-1].role != "assistant":
        return "the last message is not the assistant's"
    if any(turn.weight == 0 for turn in turns if turn.role != "assistant"):
        return "only an assistant's message has a weight"
    if not any(turn.role == "assistant" and turn.weight for turn in turns):
        return "no assistant's message is learnt from"
    return ""
