"""Our marks are those of transformers: its detectors find ours, and ours find its."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    SynthIDTextWatermarkingConfig,
    WatermarkDetector,
    WatermarkingConfig,
    WatermarkLogitsProcessor,
)

from strongroom.keeper.engine.sampling import choose
from strongroom.watermark import kgw, synthid
from strongroom.watermark.detect import detect, strongest
from strongroom.watermark.interface import CANDIDATES, Mark, Scheme
from strongroom.watermark.marks import Marks

VOCABULARY = 500
SECRET = bytes(range(32))
SCHEMES: tuple[Scheme, ...] = ("kgw", "synthid")


@cache
def logits_after(token: int) -> torch.Tensor:
    """A language of its own: what follows a token, of about six bits."""
    chance = torch.Generator().manual_seed(token)
    return 2.0 * torch.randn(VOCABULARY, generator=chance)


def written(
    mark: Mark | None, count: int, temperature: float = 1.0, top_p: float = 1.0
) -> list[int]:
    tokens = [7]
    while len(tokens) <= count:
        row = logits_after(tokens[-1])[None]
        tokens += choose(row, [(temperature, top_p, None, mark)])
    return tokens[1:]


def answer(scheme: Scheme, tenant: str = "acme", count: int = 200, **how: Any) -> list[int]:
    return written(Marks(SECRET, {"*": scheme}, VOCABULARY).begin(tenant, 7), count, **how)


def processor(coins: synthid.Coins) -> Any:
    settings = SynthIDTextWatermarkingConfig(**coins.settings())
    return settings.construct_processor(VOCABULARY, "cpu")


@pytest.mark.parametrize(
    ("scheme", "how"),
    [
        *((scheme, {}) for scheme in SCHEMES),
        *((scheme, {"temperature": 0.7, "top_p": 0.9}) for scheme in SCHEMES),
        ("kgw", {"temperature": 0.0}),
    ],
)
def test_a_mark_is_found_by_its_tenant_s_key_and_by_no_other(
    scheme: Scheme, how: dict[str, Any]
) -> None:
    tokens = answer(scheme, **how)
    own = detect(SECRET, "acme", scheme, tokens, VOCABULARY)
    assert own.p < 1e-5
    other = detect(SECRET, "globex", scheme, tokens, VOCABULARY)
    stranger = detect(os.urandom(32), "acme", scheme, tokens, VOCABULARY)
    assert min(other.p, stranger.p) > 1e-5
    names = ("initech", "globex", "acme")
    best = strongest(detect(SECRET, name, scheme, tokens, VOCABULARY) for name in names)
    assert best.tenant == "acme"
    assert best.p == pytest.approx(3 * own.p)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_not_marked_is_found_as_often_as_chance_says(scheme: Scheme) -> None:
    tokens = written(None, 150)
    found = [detect(os.urandom(32), "acme", scheme, tokens, VOCABULARY) for _ in range(200)]
    small = sum(each.p < 0.05 for each in found)
    assert small < 0.05 * 200 + 4 * math.sqrt(0.05 * 0.95 * 200)
    assert sum(each.p < 0.5 for each in found) > 50  # the test says something where it should
    assert min(each.p for each in found) > 1e-6


@pytest.mark.parametrize("scheme", SCHEMES)
def test_too_little_text_says_nothing(scheme: Scheme) -> None:
    for tokens in ([], [5], [5, 6]):
        assert detect(SECRET, "acme", scheme, tokens, VOCABULARY).p >= 0.25 * (scheme == "kgw")
    assert detect(SECRET, "acme", "synthid", [1, 2, 3, 4], VOCABULARY).p == 1.0


def test_green_lists_are_transformers_own() -> None:
    greens = kgw.Greens(SECRET, "acme", VOCABULARY)
    theirs: Any = WatermarkLogitsProcessor(VOCABULARY, "cpu", **greens.settings())
    for token in (0, 1, 77, 499):
        ids = theirs._get_greenlist_ids(torch.tensor([3, token]))
        assert set(ids.tolist()) == set(
            np.flatnonzero(greens.after(token, np.arange(VOCABULARY))).tolist()
        )


def test_transformers_detector_finds_a_green_mark_and_counts_as_we_do() -> None:
    greens = kgw.Greens(SECRET, "acme", VOCABULARY)
    config = LlamaConfig(vocab_size=VOCABULARY, bos_token_id=499)
    theirs: Any = WatermarkDetector(
        config, "cpu", WatermarkingConfig(**greens.settings()), ignore_repeated_ngrams=True
    )
    for tokens, marked in ((answer("kgw"), True), (written(None, 200), False)):
        said = theirs(torch.tensor([tokens]), z_threshold=4.0, return_dict=True)
        ours = detect(SECRET, "acme", "kgw", tokens, VOCABULARY)
        assert bool(said.prediction[0]) is marked
        assert said.z_score[0] == pytest.approx(ours.z)
        assert said.num_tokens_scored[0] == ours.scored


def test_coins_and_repetitions_are_transformers_own() -> None:
    coins = synthid.Coins(SECRET, "acme")
    theirs = processor(coins)
    tokens = [*np.random.default_rng(1).integers(0, VOCABULARY, 60).tolist(), *[3, 4] * 20]
    values = theirs.compute_g_values(torch.tensor([tokens]))[0]
    kept = theirs.compute_context_repetition_mask(torch.tensor([tokens]))[0]
    assert 0 < int(kept.sum()) < len(kept)
    assert np.array_equal(synthid.coins_of(coins, tokens), values[kept].numpy())


def test_the_tournament_is_transformers_own_where_all_tokens_are_candidates() -> None:
    coins = synthid.Coins(SECRET, "acme")
    theirs, ours = processor(coins), synthid.SynthidMark(coins)
    few = CANDIDATES
    tokens = [9]
    for step in range(40):
        scores = 2.0 * torch.randn(1, few, generator=torch.Generator().manual_seed(step % 4))
        told = torch.softmax(theirs(torch.tensor([tokens]), scores), -1)[0]
        plain = torch.softmax(scores, -1)[0].numpy()
        mine = ours.reweigh(plain.copy(), np.arange(few))
        assert np.allclose(mine, told.numpy(), atol=1e-5)
        tokens.append(step % 4)  # contexts repeat: later steps are left alone by both
        ours.follow(step % 4)
    assert np.allclose(mine, plain)


def test_transformers_mean_score_tells_our_tournament() -> None:
    theirs = processor(synthid.Coins(SECRET, "acme"))
    means = {}
    for name, tokens in (("marked", answer("synthid")), ("plain", written(None, 200))):
        ids = torch.tensor([tokens])
        kept = theirs.compute_context_repetition_mask(ids)[0]
        means[name] = float(theirs.compute_g_values(ids)[0][kept].float().mean())
    assert means["marked"] > 0.53 > 0.515 > means["plain"]


Reweigh = Callable[[bytes], np.ndarray]


def average(reweigh: Reweigh, times: int = 1500) -> np.ndarray:
    chance = np.random.default_rng(5)
    total = sum(reweigh(chance.bytes(32)) for _ in range(times))
    return np.asarray(total) / times


def test_averaged_over_keys_synthid_changes_no_chance_and_kgw_does() -> None:
    plain = np.array([0.6, 0.25, 0.1, 0.05], dtype=np.float32)
    ids = np.arange(4)

    def by_synthid(secret: bytes) -> np.ndarray:
        return synthid.SynthidMark(synthid.Coins(secret, "a")).reweigh(plain.copy(), ids)

    def by_kgw(secret: bytes) -> np.ndarray:
        marked = kgw.KgwMark(kgw.Greens(secret, "a", 4), 3).reweigh(plain.copy(), ids)
        return np.asarray(marked / marked.sum())

    assert np.abs(average(by_synthid) - plain).max() < 0.03
    assert np.abs(average(by_kgw) - plain).max() > 0.05


def test_the_candidates_share_stays_what_it_was() -> None:
    weights = np.array([0.3, 0.2, 0.1], dtype=np.float32)
    mark = synthid.SynthidMark(synthid.Coins(SECRET, "acme"))
    marked = mark.reweigh(weights.copy(), np.array([4, 5, 6]))
    assert marked.sum() == pytest.approx(weights.sum(), rel=1e-5)
    assert not np.allclose(marked, weights)


def test_marked_answers_stay_within_what_may_be_drawn() -> None:
    allowed = torch.tensor([3, 400, 401, 402])
    mark = Marks(SECRET, {"acme": "synthid"}, VOCABULARY).begin("acme", 7)
    for temperature in (0.0, 1.0):
        for step in range(50):
            drawn = choose(logits_after(step)[None], [(temperature, 1.0, allowed, mark)])
            assert drawn[0] in allowed.tolist()
