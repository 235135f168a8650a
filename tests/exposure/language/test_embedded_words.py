"""Words out of embeddings: from raw ones and from the door's steps, and not from noise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.embedded_words import EmbeddedWords
from strongroom.exposure.cell import Figure
from strongroom.exposure.interface import Budget, Knowledge, Knows
from strongroom.exposure.judge.embedded_words import EmbeddedWordsJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.embedding_steps import in_steps
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny


def sentences(count: int) -> list[str]:
    by = random.Random(12)
    return [" ".join(by.sample(tiny.WORDS, 3)) for _ in range(count)]


TEXTS = sentences(150)
THEIRS, OURS = TEXTS[:110], TEXTS[110:]


def figure(target: Any, leaked: np.ndarray, budget: Budget = tiny.PLENTY) -> Figure:
    known = Knowledge(Knows.DATA, asked=leaked, data=THEIRS)
    claims = EmbeddedWords().run(target, known, budget, 0)
    return EmbeddedWordsJudge(OURS, THEIRS).judge(claims).figures[0]


def model() -> Any:
    return tiny.language(tiny.base())


def raw(texts: Sequence[str]) -> np.ndarray:
    rows = [tiny.ids(text) for text in texts]
    return np.stack([states.mean(0).numpy() for states in model().hidden(rows)])


class Plain:
    """Embeddings as something else gives them."""

    def __init__(self, embed: Any) -> None:
        self.embed = embed
        self.real = open_language(model(), Rung.EMBEDDINGS, tiny.PLENTY)

    def spent(self) -> Any:
        return self.real.spent()


def test_positive_controls_raw_embeddings_and_the_doors_steps_tell_words() -> None:
    exact = figure(Plain(raw), raw(OURS))
    target = open_language(model(), Rung.EMBEDDINGS, tiny.PLENTY)
    stepped = figure(target, model().embedded(OURS))
    for found in (exact, stepped):
        assert found.measured.interval.low > found.null.interval.high
        assert found.p_value < 0.01
    assert stepped.measured.value <= exact.measured.value + 0.05
    assert target.spent().queries == len(THEIRS)


def test_negative_control_noise_tells_no_word() -> None:
    by = np.random.default_rng(2)
    noise = Plain(lambda texts: by.standard_normal((len(texts), 48)))
    found = figure(noise, by.standard_normal((len(OURS), 48)))
    assert found.measured.interval.low <= found.null.value
    assert found.p_value > 0.01


def test_a_door_that_stops_leaves_what_was_embedded_and_too_little_is_said() -> None:
    target = open_language(model(), Rung.EMBEDDINGS, Budget(64, 60.0))
    assert figure(target, model().embedded(OURS), Budget(500, 60.0)).measured.n == len(OURS)
    assert target.spent().queries == 64
    with pytest.raises(ExposureRefused):
        figure(open_language(model(), Rung.EMBEDDINGS, Budget(16, 60.0)), raw(OURS))


def test_steps_are_those_of_the_keeper() -> None:
    torch = pytest.importorskip("torch")
    from strongroom.keeper.disclosure import embedded

    rows = raw(OURS)[:3]
    for row, stepped in zip(rows, in_steps(rows), strict=True):
        steps = np.frombuffer(embedded(torch.from_numpy(row)), dtype=np.int8).astype(float)
        assert np.allclose(stepped, steps / np.linalg.norm(steps))
