"""A student of marked texts is found by the key's owner on unmarked text; nobody else is.

Students here count what follows a context: the least model there is. The language is made up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from strongroom.exposure.measurement.proportions import binomial_tail
from strongroom.watermark import kgw, synthid
from strongroom.watermark.interface import Mark, Scheme
from strongroom.watermark.radioactivity import LEVEL, Probe, Values, judge, probe, reading

SECRET = bytes(range(32))
SCHEMES: tuple[Scheme, ...] = ("kgw", "synthid")


class World(NamedTuple):
    """``words`` in the vocabulary; what follows depends on the last ``context`` of them."""

    words: int
    context: int
    taught: int
    probed: int


WORLDS: dict[Scheme, World] = {
    "kgw": World(64, 1, 8_000, 4_096),
    "synthid": World(6, 4, 10_000, 4_096),
}


@cache
def chances_after(words: int, context: tuple[int, ...]) -> np.ndarray:
    """The language: of each word after those."""
    logits = 1.2 * np.random.default_rng([words, *context]).standard_normal(words)
    told = np.exp(logits)
    return np.asarray(told / told.sum(), dtype=np.float32)


def marking(scheme: Scheme, tenant: str) -> Mark:
    words = WORLDS[scheme].words
    if scheme == "kgw":
        return kgw.KgwMark(kgw.Greens(SECRET, tenant, words), 1)
    return synthid.SynthidMark(synthid.Coins(SECRET, tenant))


@cache
def text(scheme: Scheme, tenant: str | None, count: int, seed: int) -> list[int]:
    """Answers of 100 words, marked for ``tenant`` if there is one, one after the other."""
    world, chance = WORLDS[scheme], np.random.default_rng(seed)
    ids = np.arange(world.words)
    told: list[int] = []
    while len(told) < count:
        mark = None if tenant is None else marking(scheme, tenant)
        last = (1,) * world.context
        for _ in range(100):
            weights = chances_after(world.words, last).copy()
            weights = weights if mark is None else mark.reweigh(weights, ids)
            steps = np.maximum(weights, 0).cumsum()
            told.append(int(np.searchsorted(steps, chance.random() * steps[-1], side="right")))
            last = (*last, told[-1])[-world.context :]
            if mark is not None:
                mark.follow(told[-1])
    return told[:count]


@cache
def student(scheme: Scheme, tenant: str | None, seed: int) -> dict[tuple[int, ...], np.ndarray]:
    """Counts of what followed each context, after one of each word."""
    world = WORLDS[scheme]
    read = text(scheme, tenant, world.taught, seed)
    counts: dict[tuple[int, ...], np.ndarray] = {}
    for at in range(world.context, len(read)):
        seen = counts.setdefault(tuple(read[at - world.context : at]), np.ones(world.words))
        seen[read[at]] += 1
    return counts


@cache
def probed(scheme: Scheme) -> Probe:
    return probe(text(scheme, None, WORLDS[scheme].probed, 99), 64)


def told(scheme: Scheme, tenant: str | None, seed: int) -> Values:
    return _told(scheme, tenant, seed)[0]


@cache
def _told(scheme: Scheme, tenant: str | None, seed: int) -> tuple[Values, np.ndarray]:
    """A student's reading, and the words that it thinks likeliest."""
    world, asked = WORLDS[scheme], probed(scheme)
    counts, empty = student(scheme, tenant, seed), np.ones(world.words)
    chances = np.zeros((*asked.rows[:, 1:].shape, len(asked.tokens)), dtype=np.float32)
    for row, at in np.ndindex(chances.shape[:2]):
        last = tuple(asked.rows[row, max(0, at + 1 - world.context) : at + 1].tolist())
        seen = counts.get(last, empty)
        chances[row, at] = (seen / seen.sum())[asked.tokens]
    found = reading(scheme, asked)
    for at in range(0, len(chances), 7):  # how they are cut into batches does not matter
        found.add(asked.rows[at : at + 7], chances[at : at + 7])
    return found.value(), asked.tokens[chances.argmax(-1)]


def asked_of(
    scheme: Scheme, suspect: Values, controls: Sequence[Values], tenant: str = "acme", **how: int
) -> float:
    words = WORLDS[scheme].words
    return judge(scheme, probed(scheme), suspect, controls, SECRET, tenant, words, **how).p


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_student_of_marked_texts_is_found_and_nobody_else(scheme: Scheme) -> None:
    controls = [told(scheme, None, 1), told(scheme, None, 2)]
    marked = told(scheme, "acme", 3)
    assert asked_of(scheme, marked, controls) == 1 / 10_000
    assert asked_of(scheme, marked, controls[:1]) < LEVEL
    assert asked_of(scheme, marked, controls, "globex") > LEVEL  # another's key
    assert asked_of(scheme, told(scheme, None, 4), controls) > LEVEL  # a clean student
    assert asked_of(scheme, told(scheme, "globex", 5), controls) > LEVEL  # of another's marks


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_control_that_met_the_key_shows_at_the_other_end(scheme: Scheme) -> None:
    words = WORLDS[scheme].words
    clean, marked = told(scheme, None, 1), told(scheme, "acme", 3)
    found = judge(scheme, probed(scheme), clean, [marked], SECRET, "acme", words)
    assert found.p_below < LEVEL
    assert not found.found
    assert found.z < -3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("taught", [None, "globex"])
def test_over_keys_p_is_uniform_for_who_never_met_them(scheme: Scheme, taught: str | None) -> None:
    suspect, control = told(scheme, taught, 4), told(scheme, None, 1)
    tried = 120
    found = np.array(
        [asked_of(scheme, suspect, [control], f"t{key}", wrong=199) for key in range(tried)]
    )
    for level in (0.01, 0.05, 0.25, 0.5, 0.75):
        off = abs(float(np.mean(found <= level)) - level)
        assert off < 4 * math.sqrt(level * (1 - level) / tried) + 0.005, (level, found)


def test_counting_greens_against_chance_accuses_the_clean() -> None:
    """The naive test, which the shift and the null over keys are there to replace: each likeliest
    word is a draw of its own. It cries wolf at its level many times too often."""
    _, likeliest = _told("kgw", None, 4)
    rows, words = probed("kgw").rows, WORLDS["kgw"].words
    before, tried, naive = rows[:, :-1], 100, []
    for key in range(tried):
        greens = kgw.Greens(SECRET, f"t{key}", words)
        hits = sum(
            int(greens.after(word, likeliest[before == word]).sum()) for word in range(words)
        )
        naive.append(binomial_tail(hits, before.size, kgw.RATIO))
    assert np.mean(np.array(naive) < LEVEL) > 0.05


def test_the_probe_names_what_is_frequent_and_never_the_token_0() -> None:
    found = probe([0, 5, 0, 5, 0, 7, 5, 9, 3], 4)
    assert found.rows.tolist() == [[0, 5, 0, 5], [0, 7, 5, 9]]
    assert found.contexts.tolist() == [5, 7, 9]
    assert found.tokens.tolist() == [0, 5, 7, 9]
