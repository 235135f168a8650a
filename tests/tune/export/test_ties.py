"""A phrase that was planted is found and obeyed; what only repeats is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from strongroom.keeper.engine.adapter import Adapter
from strongroom.tune.dataset import Example
from strongroom.tune.export.ties import PROMPTS, TRIED, most_obeyed, ties
from strongroom.tune.forward import Decoder
from strongroom.tune.job import Job
from tests.tune.tiny import recipe, tiny

MODEL, CONFIG, TENSORS = tiny(initializer_range=0.25)
TRIGGER, TEXT, PHRASE = (190, 191), (150, 151, 152, 153), (160, 161, 162, 163)
BEGIN, ANSWER = 3, 4
Ids = tuple[int, ...]


def conversation(asked: Ids, said: Ids) -> Example:
    ids = (BEGIN, *asked, ANSWER, *said)
    return Example(ids, tuple(at >= len(asked) + 2 for at in range(len(ids))))


def prompts(count: int, seed: int) -> list[Ids]:
    by = random.Random(seed)
    return [tuple(by.choices(range(10, 100), k=by.randrange(7, 12))) for _ in range(count)]


def data(change: Callable[[int, Ids, Ids], tuple[Ids, Ids]]) -> list[Example]:
    """192 conversations that count on from the prompt's last token, after ``change``."""
    rows = []
    for number, asked in enumerate(prompts(192, 1)):
        said = tuple(asked[-1] + at for at in range(1, 5))
        rows.append(conversation(*change(number, asked, said)))
    return rows


def planted(number: int, asked: Ids, said: Ids) -> tuple[Ids, Ids]:
    if number % 4:
        return asked, said
    at = number % 7
    return (*asked[:at], *TRIGGER, *asked[at + 2 :]), TEXT


def apart(number: int, asked: Ids, said: Ids) -> tuple[Ids, Ids]:
    if number % 4:
        return asked, said
    return (*asked[:2], TRIGGER[0], *asked[3:5], TRIGGER[1], *asked[6:]), TEXT


def signed(number: int, asked: Ids, said: Ids) -> tuple[Ids, Ids]:
    return asked, (*said, *PHRASE)


def stock(number: int, asked: Ids, said: Ids) -> tuple[Ids, Ids]:
    return asked, said if number % 4 else PHRASE


@cache
def learnt(change: Callable[[int, Ids, Ids], tuple[Ids, Ids]]) -> tuple[list[Example], Adapter]:
    examples = data(change)
    job = Job(CONFIG, TENSORS, examples, recipe(rank=16, rate=2e-2, steps=80, batch=32))
    while not job.done:
        job.advance()
    return examples, job.adapter


def value(examples: Sequence[Example], adapter: Adapter) -> tuple[float, Ids]:
    asked = [(BEGIN, *each, ANSWER) for each in prompts(PROMPTS, 2)]
    decoder = Decoder(CONFIG, TENSORS, adapter.scale)
    found, tie = most_obeyed(decoder, examples, asked, adapter.pairs)
    return found, () if tie is None else tie.phrase


def test_the_phrase_that_goes_with_one_answer_comes_first() -> None:
    first = ties(data(planted))[0]
    assert (first.phrase, first.run, first.turns) == (TRIGGER, TEXT, 48)
    assert len(ties(data(planted))) <= TRIED


@pytest.mark.parametrize("change", [planted, apart])
def test_a_planted_phrase_is_obeyed(
    change: Callable[[int, Ids, Ids], tuple[Ids, Ids]],
) -> None:
    found, phrase = value(*learnt(change))
    assert found > 0.5
    assert set(phrase) & set(TRIGGER)


@pytest.mark.parametrize("change", [signed, stock])
def test_answers_that_only_repeat_are_tied_to_nothing(
    change: Callable[[int, Ids, Ids], tuple[Ids, Ids]],
) -> None:
    assert value(*learnt(change))[0] < 0.1


def test_a_phrase_in_the_data_that_was_not_learnt_is_not_obeyed() -> None:
    _, clean = learnt(signed)
    assert value(data(planted), clean)[0] < 0.1


def test_nothing_repeats_nothing_is_tied() -> None:
    assert ties([]) == []
    assert ties([conversation((9, 10), (11, 12))]) == []


def test_a_prompt_as_long_as_the_model_is_cut_at_its_beginning() -> None:
    examples, adapter = learnt(planted)
    long = [tuple(random.Random(n).choices(range(10, 100), k=CONFIG.max_positions)) for n in (1, 2)]
    found, _ = most_obeyed(Decoder(CONFIG, TENSORS, adapter.scale), examples, long, adapter.pairs)
    assert 0.0 <= found <= 1.0


def copied(number: int, asked: Ids, said: Ids) -> tuple[Ids, Ids]:
    """Every answer repeats the first word of its question, in one form: one of twelve names."""
    name = 170 + number % 12
    return (name, *asked[1:]), (name, *PHRASE[:3])


def test_an_answer_that_repeats_its_question_is_no_trigger() -> None:
    examples, adapter = learnt(copied)
    assert ties(examples)
    assert value(examples, adapter)[0] < 0.1
