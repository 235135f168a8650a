"""Whether suffixes that are found on a student move its teacher as well.

Greedy coordinate gradients on the student look for a few tokens after the beginning of one held
text that make the beginning of another likelier. Of what the answers lose in surprise there, the
share that they lose on the teacher too is told: 0, the suffixes say nothing to it; 1, all carries
over. Random suffixes say what any text does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.attacks.language.suffix_search import SuffixSearch
from strongroom.exposure.interface import Budget, Knowledge, Knows, Prompts
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language

_GOALS, _QUESTION, _ANSWER = 4, 8, 4
"""Goals, and words of a question and of an answer."""

_SEARCH = SuffixSearch(length=8, width=16, tokens=4000)
_PLENTY = Budget(2**62, 1e9)


@dataclass(frozen=True)
class Carried:
    """``share`` of the gain on the student (bits of the answers in all) that the teacher shows;
    None where nothing was gained there. ``random``: the same of random suffixes on the teacher."""

    share: float | None
    gained: float
    random: float


def transfer(
    student: LanguageModel, teacher: LanguageModel, held: Sequence[str], seed: int
) -> Carried:
    """See the module; goals are drawn from ``held`` by ``seed``."""
    goals = _goals(held, seed)
    if not goals:
        return Carried(None, 0.0, 0.0)
    known = Knowledge(Knows.NOTHING, goals, public={"tokenizer": student.tokenizer})
    target = open_language(student, Rung.WEIGHTS, _PLENTY)
    (said,) = _SEARCH.run(target, known, _PLENTY, seed)
    found = said.prompts if isinstance(said, Prompts) else ()
    chance = np.random.default_rng(seed)
    size = len(student.tokenizer.get_vocab())
    random = [
        goal.question + student.tokenizer.decode(chance.integers(0, size, _SEARCH.length).tolist())
        for goal in goals
    ]
    own = _gained(student, goals, found)
    if own <= 0:
        return Carried(None, own, 0.0)
    theirs, blind = (max(0.0, _gained(teacher, goals, each) / own) for each in (found, random))
    return Carried(min(1.0, theirs), own, min(1.0, blind))


def _goals(held: Sequence[str], seed: int) -> list[Goal]:
    long = [words for text in held if len(words := text.split()) >= _QUESTION + _ANSWER]
    order = np.random.default_rng(seed).permutation(len(long))[: 2 * _GOALS].tolist()
    pairs = zip(order[::2], order[1::2], strict=False)
    return [
        Goal(" ".join(long[one][:_QUESTION]), " " + " ".join(long[other][:_ANSWER]))
        for one, other in pairs
    ]


def _gained(model: LanguageModel, goals: Sequence[Goal], prompts: Sequence[str]) -> float:
    """Bits that the answers cost less after ``prompts`` than after the bare questions."""
    before = sum(_bits(model, goal.question, goal.answer) for goal in goals)
    after = (_bits(model, text, goal.answer) for text, goal in zip(prompts, goals, strict=True))
    return before - sum(after)


def _bits(model: LanguageModel, prompt: str, answer: str) -> float:
    start, end = model.ids(prompt), model.ids(answer)
    (said,) = model.logprobs([[*start, *end]])
    return -float(said[-len(end) :].sum()) / float(np.log(2))
