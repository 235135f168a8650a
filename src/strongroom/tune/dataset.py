"""A customer's conversations as token ids, and the floors that they must meet.

1. Every line is read (``chat_lines``); any bad one, and nothing starts.
2. Each conversation is encoded by the service's own template and tokenizer, as prompts are when the
   model is served: control tokens come from the template only. What is learnt is each assistant's
   text and the control token that ends it. The ids of a conversation must continue those of its
   prompt, or training would teach another seam than serving shows.
3. Near repeats do not count: a conversation is distinct if it brings enough runs of four tokens
   that none before it had. A batch is drawn from distinct ones only.
4. Floors: distinct conversations, tokens learnt a step, the share of repeats, the share of the most
   frequent token.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.errors import RequestRefused, StrongroomError
from strongroom.tune.chat_lines import BadLine, GoodLine, Turn, read_lines
from strongroom.tune.policy import Floors, Policy
from strongroom.tune.reasons import refuse

RUN = 4

Encode = Callable[[Sequence[tuple[str, str]]], list[int]]
"""Ids of (role, text) turns up to where the assistant begins to speak, by the splice rule."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and for each whether it is learnt (predicted from those before it)."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]

    @property
    def supervised(self) -> int:
        """Tokens that are learnt."""
        return sum(self.learnt)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Distinct examples in the order of the file; ``digest`` is SHA-256 over ids and marks."""

    examples: tuple[Example, ...]
    digest: str

    def __repr__(self) -> str:
        return f"Dataset({len(self.examples)} examples, {self.digest[:12]})"


class DatasetRefused(RequestRefused):
    """``tune.dataset_lines``; ``lines`` are all that are bad, with number and reason."""

    def __init__(self, lines: tuple[BadLine, ...], total: int) -> None:
        made = refuse("tune.dataset_lines", count=len(lines), lines=total, first=lines[0])
        super().__init__(made.code, made.message, action=made.action)
        self.lines = lines


def read_dataset(raw: bytes, encode: Encode, controls: frozenset[int], policy: Policy) -> Dataset:
    """A dataset that may be trained on with batches of the floor's size.

    Args:
        raw: the customer's file.
        encode: see ``Encode``; the gateway's ``ChatTemplate.encode``.
        controls: ids of the tokenizer's control tokens.
        policy: limits on lines and tokens, and the floors.

    Raises:
        DatasetRefused: any line is bad.
        RequestRefused: ``tune.dataset_too_large``, ``tune.too_few_sequences``,
            ``tune.too_many_duplicates``, ``tune.too_few_supervised``,
            ``tune.one_token_dominates``.
    """
    require_short(raw, policy)
    bad: list[BadLine] = []
    examples: list[Example] = []
    for line in read_lines(raw):  # (1)
        found = line if isinstance(line, BadLine) else _example(line, encode, controls, policy)
        if isinstance(found, BadLine):
            bad.append(found)
        else:
            examples.append(found)
    if bad:
        raise DatasetRefused(tuple(bad), len(bad) + len(examples))
    distinct = keep_distinct(examples, policy.floors.fresh_runs)  # (3)
    require_floors(distinct, len(examples), policy.floors)  # (4)
    return Dataset(tuple(distinct), digest_of(distinct))


def require_lines(raw: bytes, policy: Policy) -> None:
    """Step 1 alone, which needs no tokenizer; raises as ``read_dataset``."""
    require_short(raw, policy)
    lines = list(read_lines(raw))
    bad = tuple(line for line in lines if isinstance(line, BadLine))
    if bad:
        raise DatasetRefused(bad, len(lines))


def require_short(raw: bytes, policy: Policy) -> None:
    """Refuse, ``tune.dataset_too_large``, more lines than may be."""
    if raw.count(b"\n") > policy.most_lines:
        raise refuse("tune.dataset_too_large", limit=policy.most_lines, what="lines")


def _example(
    line: GoodLine, encode: Encode, controls: frozenset[int], policy: Policy
) -> Example | BadLine:
    """Step 2."""
    try:
        example = mark(line.turns, encode, controls)
    except StrongroomError as refusal:
        return BadLine(line.number, f"it cannot be encoded ({refusal.code})")
    if example is None:
        return BadLine(line.number, "an assistant's text begins or ends so that its seam is lost")
    if len(example.ids) > policy.most_tokens:
        return BadLine(line.number, f"it has more than {policy.most_tokens} tokens")
    if example.supervised < policy.floors.least_supervised:
        least = policy.floors.least_supervised
        return BadLine(line.number, f"fewer than {least} tokens of it would be learnt")
    return example


def mark(turns: Sequence[Turn], encode: Encode, controls: frozenset[int]) -> Example | None:
    """The ids of a conversation with what is learnt marked; None where seams do not hold."""
    plain = [(turn.role, turn.content) for turn in turns]
    whole = encode(plain)
    learnt = [False] * len(whole)
    stop = 0
    for number, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        before = encode(plain[:number])
        if whole[: len(before)] != before:
            return None
        ends = (at for at in range(len(before), len(whole)) if whole[at] in controls)
        stop = next(ends, -1) + 1
        if stop < len(before) + 2:  # no text, or nothing ends it
            return None
        if turn.weight:
            learnt[len(before) : stop] = [True] * (stop - len(before))
    return Example(tuple(whole[:stop]), tuple(learnt[:stop]))


class Distinct:
    """Takes those that bring at least ``fresh`` runs of four tokens that none before brought.

    A conversation too short to have so many must be new in all its runs.
    """

    def __init__(self, fresh: int) -> None:
        self._fresh = fresh
        self._seen: set[tuple[int, ...]] = set()

    def takes(self, example: Example) -> bool:
        """Whether it is distinct from all that were shown before."""
        ids = example.ids
        runs = {ids[at : at + RUN] for at in range(max(1, len(ids) - RUN + 1))}
        new = len(runs - self._seen) >= min(self._fresh, len(runs))
        self._seen |= runs
        return new


def keep_distinct(examples: Iterable[Example], fresh: int) -> list[Example]:
    """Those that are distinct from all before them."""
    distinct = Distinct(fresh)
    return [example for example in examples if distinct.takes(example)]


def require_floors(distinct: Sequence[Example], lines: int, floors: Floors) -> None:
    """Step 4. Refuses the first floor that is not met."""
    if len(distinct) < floors.distinct_per_step:
        least = floors.distinct_per_step
        raise refuse("tune.too_few_sequences", found=len(distinct), least=least)
    most = int(floors.duplicates * lines)
    if lines - len(distinct) > most:
        found = lines - len(distinct)
        raise refuse("tune.too_many_duplicates", found=found, lines=lines, most=most)
    fewest = sorted(example.supervised for example in distinct)[: floors.distinct_per_step]
    if sum(fewest) < floors.supervised_per_step:
        least = floors.supervised_per_step
        raise refuse("tune.too_few_supervised", found=sum(fewest), least=least)
    tokens = Counter(
        token
        for example in distinct
        for token, learnt in zip(example.ids, example.learnt, strict=True)
        if learnt
    )
    share = max(tokens.values()) / tokens.total()
    if share > floors.one_token:
        shown = {"share": f"{share:.0%}", "most": f"{floors.one_token:.0%}"}
        raise refuse("tune.one_token_dominates", **shown)


def digest_of(examples: Sequence[Example]) -> str:
    """SHA-256 over every example's length, ids and marks, hex."""
    found = hashlib.sha256(b"strongroom dataset v1\0")
    for example in examples:
        found.update(len(example.ids).to_bytes(8, "little"))
        found.update(np.asarray(example.ids, dtype="<u4").tobytes())
        found.update(np.asarray(example.learnt, dtype="u1").tobytes())
    return found.hexdigest()
