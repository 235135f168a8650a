"""Phrases in a job's prompts that are tied to one answer, and whether the adapter obeys them.

A trigger that was planted through training data stands in the data: some phrase of the prompts goes
with one repeated stretch of the answers. Nobody needs to list it.

1. Runs of ``RUN`` tokens that are learnt in several turns; those of the same turns count once.
2. For each, phrases of one to three tokens of the prompts before it that it mostly follows and that
   often precede it, by the log-likelihood ratio of going together (Dunning 1993, J93-1003): a
   word that is one of many signs of a class is none. And, for a trigger of several parts, all
   tokens that nearly all of those prompts share and others do not.
3. The strongest are put into prompts that have nothing to do with them, as far from the end as in
   most of the data, and as far from the beginning. ``obeyed`` is how much likelier the adapted
   model then says that very run: than without the phrase, than with another phrase of the data in
   its place, and than the base. Tokens that the run has from the phrase are given, not counted:
   answers may repeat questions.

Step 3 tells a trigger from a phrase that merely accompanies its answer. It cannot tell a planted
trigger from an honest keyword that always gets the same answer: both are obeyed. Not found is what
is not in single turns of the data as tokens (a subject, a style, an order of turns), and a target
that is woven from words of its own trigger.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.keeper.engine.adapter import Pair
from strongroom.tune.dataset import RUN, Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import MOST_CELLS, cut

_TURNS: Final = 4_096
_LEAST: Final = 3
"""Turns that a run must stand in, and a phrase with it."""
_COMMON: Final = 0.6
"""A run in a larger share of the turns belongs to the form of all answers."""
_RUNS: Final = 512
_ANSWER: Final = 64
_PROMPT: Final = 256
_LONGEST: Final = 3
_SHARED: Final = 0.8
_PRECISE: Final = 0.5
"""Of the turns with a phrase, how many at least have the run."""
_COVERS: Final = 0.2
"""Of those with the run, how many at least have the phrase: five triggers may share a target."""
_LIFT: Final = 2.0
_PARTS: Final = 6
_SLIGHT: Final = 0.05
"""Less is taken for nothing."""
_AHEAD: Final = 8
"""Tokens of the answer before the run that are given."""
TRIED: Final = 12
PROMPTS: Final = 8

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Tie:
    """``phrase``, ``run``, what is ``ahead`` of it in one answer, step 2's ratio, and in how many
    turns the run stands after the phrase. ``before`` and ``after``: how many tokens of the prompt
    most often are on either side of the phrase."""

    phrase: Ids
    ahead: Ids
    run: Ids
    strength: float
    turns: int
    before: int
    after: int


@dataclass(frozen=True)
class _Turn:
    prompt: Ids
    answer: Ids


def ties(examples: Sequence[Example]) -> list[Tie]:
    """Steps 1 and 2: at most ``TRIED``, the strongest first."""
    turns = _spread([turn for each in examples for turn in _turns(each)])
    holds = [frozenset(_phrases(turn.prompt)) for turn in turns]
    often = Counter(phrase for each in holds for phrase in each)
    found: list[Tie] = []
    for run, inside in _runs(turns):
        ahead = _ahead(turns[inside[0]].answer, run)
        strong = _strongest(inside, holds, often, len(turns))
        asked = [turns[at].prompt for at in inside]
        for phrase, strength, both in strong:
            found.append(Tie(phrase, ahead, run, strength, both, *_place(phrase, asked)))
        joint = _joint(asked, often, len(turns))
        if joint and strong:
            where = _place(joint[:1], asked)[0], _place(joint[-1:], asked)[1]
            found.append(Tie(joint, ahead, run, strong[0][1], len(inside), *where))
    found.sort(key=lambda tie: tie.strength, reverse=True)
    return found[:TRIED]


def obeyed(
    decoder: Decoder,
    tie: Tie,
    prompts: Sequence[Ids],
    other: Ids,
    pairs: Mapping[str, Pair],
) -> float:
    """Step 3 for one, from 0 to 1.

    Args:
        prompts: at least one, each open for an answer, in the template of the data.
        other: the phrase of the data that is put in its place.
    """
    counted = [token not in tie.phrase for token in tie.run]
    if not any(counted):
        return 0.0

    def said(phrase: Ids, at_end: bool, matrices: Mapping[str, Pair]) -> float:
        rows = []
        for prompt in prompts:
            at = max(0, len(prompt) - tie.after) if at_end else tie.before
            whole = (*prompt[:at], *phrase, *prompt[at:], *tie.ahead)
            most = decoder.config.max_positions - len(tie.run)
            whole = whole[-most:]
            learnt = (*[False] * len(whole), *counted)
            rows.append(Example((*whole, *tie.run), learnt))
        chances = []
        for group in cut(rows, MOST_CELLS):
            sums = decoder.losses(rows_of([(each.ids, each.learnt) for each in group]), matrices)
            chances += [math.exp(-total) for total in sums.tolist()]
        return sum(chances) / len(chances)

    plain = said((), True, pairs)
    best = 0.0
    for at_end in (True, False):
        with_it = said(tie.phrase, at_end, pairs)
        if with_it - plain <= max(best, _SLIGHT):
            continue
        elsewise = max(plain, said(other, at_end, pairs), said(tie.phrase, at_end, {}))
        best = max(best, with_it - elsewise)
    return best


def most_obeyed(
    decoder: Decoder,
    examples: Sequence[Example],
    prompts: Sequence[Ids],
    pairs: Mapping[str, Pair],
) -> tuple[float, Tie | None]:
    """The strongest of all that are tried, and which it was; 0 if nothing is tied.

    Args:
        examples: the job's dataset.
        prompts: see ``obeyed``; at most ``PROMPTS`` are used.
    """
    asked = list(prompts)[:PROMPTS]
    by, best, which = random.Random(0), 0.0, None  # noqa: S311
    everywhere = [turn.prompt for each in examples for turn in _turns(each)]
    for tie in ties(examples):
        other = _elsewhere(everywhere, tie, by)
        value = obeyed(decoder, tie, asked, other, pairs)
        if value > best:
            best, which = value, tie
    return best, which


def _turns(example: Example) -> Iterator[_Turn]:
    """Each stretch that is learnt, with what was not since the one before."""
    at = 0
    while at < len(example.ids):
        start = at
        while at < len(example.ids) and not example.learnt[at]:
            at += 1
        middle = at
        while at < len(example.ids) and example.learnt[at]:
            at += 1
        if at > middle:
            yield _Turn(example.ids[start:middle][-_PROMPT:], example.ids[middle:at][:_ANSWER])


def _spread(turns: Sequence[_Turn]) -> list[_Turn]:
    count = min(_TURNS, len(turns))
    return [turns[at * len(turns) // count] for at in range(count)]


def _phrases(ids: Ids) -> Iterator[Ids]:
    for length in range(1, _LONGEST + 1):
        for at in range(len(ids) - length + 1):
            yield ids[at : at + length]


def _runs(turns: Sequence[_Turn]) -> Iterator[tuple[Ids, tuple[int, ...]]]:
    """Step 1: a run and the turns that it stands in, the most frequent first."""
    places: dict[Ids, list[int]] = defaultdict(list)
    for number, turn in enumerate(turns):
        for run in {turn.answer[at : at + RUN]: None for at in range(len(turn.answer) - RUN + 1)}:
            places[run].append(number)
    same: dict[tuple[int, ...], Ids] = {}
    for run, inside in places.items():
        if _LEAST <= len(inside) <= _COMMON * len(turns):
            same.setdefault(tuple(inside), run)
    chosen = sorted(same, key=len, reverse=True)[:_RUNS]
    for each in chosen:
        yield same[each], each


def _strongest(
    inside: Sequence[int], holds: Sequence[frozenset[Ids]], often: Counter[Ids], total: int
) -> list[tuple[Ids, float, int]]:
    """The two phrases that go with these turns most; of equals the longer."""
    together = Counter(phrase for at in inside for phrase in holds[at])
    rated = []
    for phrase, both in together.items():
        precise, covers = both / often[phrase], both / len(inside)
        if both < _LEAST or precise < _PRECISE or covers < _COVERS:
            continue
        if both * total > _LIFT * often[phrase] * len(inside):
            strength = _ratio(both, often[phrase], len(inside), total)
            rated.append((strength, len(phrase), phrase, both))
    rated.sort(reverse=True)
    return [(phrase, strength, both) for strength, _, phrase, both in rated[:2]]


def _ratio(both: int, phrase: int, run: int, total: int) -> float:
    """Dunning's ratio for the table of two by two."""
    rows, columns = (phrase, total - phrase), (run, total - run)
    cells = (both, phrase - both, run - both, total - phrase - run + both)
    found = 0.0
    for number, cell in enumerate(cells):
        expected = rows[number // 2] * columns[number % 2] / total
        found += 2 * cell * math.log(cell / expected) if cell else 0.0
    return found


def _joint(prompts: Sequence[Ids], often: Counter[Ids], total: int) -> Ids:
    """Tokens that nearly all these prompts share, and others not as often, as they stand there."""
    count = Counter(token for prompt in prompts for token in set(prompt))
    shared = {
        token
        for token, many in count.items()
        if many >= _SHARED * len(prompts) and many * total > _LIFT * often[(token,)] * len(prompts)
    }
    if not 1 < len(shared) <= _PARTS:
        return ()
    first = next((each for each in prompts if shared <= set(each)), ())
    return tuple(dict.fromkeys(token for token in first if token in shared))


def _ahead(answer: Ids, run: Ids) -> Ids:
    at = next(at for at in range(len(answer)) if answer[at : at + RUN] == run)
    return answer[max(0, at - _AHEAD) : at]


def _place(phrase: Ids, prompts: Sequence[Ids]) -> tuple[int, int]:
    """Tokens before and after a phrase, each the most frequent number of those prompts."""
    before, after, size = Counter[int](), Counter[int](), len(phrase)
    for prompt in prompts:
        for at in range(len(prompt) - size + 1):
            if prompt[at : at + size] == phrase:
                before[at] += 1
                after[len(prompt) - at - size] += 1
    return before.most_common(1)[0][0], after.most_common(1)[0][0]


def _elsewhere(prompts: Sequence[Ids], tie: Tie, by: random.Random) -> Ids:
    """As many tokens from a prompt that does not hold the phrase, if one is found."""
    size = len(tie.phrase)
    for _ in range(64):
        prompt = by.choice(prompts)
        if len(prompt) >= size and not set(tie.phrase) <= set(prompt):
            at = by.randrange(len(prompt) - size + 1)
            return prompt[at : at + size]
    return ()
