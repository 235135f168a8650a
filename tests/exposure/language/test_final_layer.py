"""The final layer from logits: exact size, small error, under rounding, and where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from strongroom.exposure.attacks.language.final_layer import FinalLayer, head_of, sampled_tokens
from strongroom.exposure.attacks.language.output_signature import OutputSignature
from strongroom.exposure.attacks.language.spectrum import centred, spectrum
from strongroom.exposure.interface import Budget, Claim
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny


def answers(kind: str, rank: int = 48, rows: int = 90, columns: int = 150) -> np.ndarray:
    by = np.random.default_rng(3)
    logits = by.standard_normal((rows, rank)) @ by.standard_normal((rank, columns))
    if kind == "logprobs":
        logits = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    if kind == "rounded":
        logits = logits.round(2)
    if kind == "bf16":
        return torch.from_numpy(logits).bfloat16().double().numpy()
    return logits


@pytest.mark.parametrize("kind", ["logits", "logprobs", "rounded", "bf16"])
def test_the_rank_stands_above_the_noise(kind: str) -> None:
    found = spectrum(centred(answers(kind)))
    assert found.found
    assert found.rank == 48


def test_noise_alone_has_no_floor_and_too_few_rows_are_not_enough() -> None:
    noise = np.random.default_rng(0).standard_normal((90, 150))
    assert not spectrum(noise).found
    assert not spectrum(answers("logits", rank=90, rows=80)).found


def claim(module: object, attack: FinalLayer | OutputSignature) -> Claim:
    target = open_language(tiny.language(module), Rung.LOGITS, tiny.PLENTY)
    return attack.run(target, tiny.knows(None, attack.knowledge[0]), tiny.PLENTY, 4)[-1]


def test_positive_control_size_and_layer_of_a_real_model() -> None:
    module = tiny.base()
    found = claim(module, FinalLayer(queries=100))
    truth = head_of(module, sampled_tokens(256, 200, 4))
    judge = FactsJudge(
        {
            "hidden_size": Truth(tiny.HIDDEN),
            "final_layer": Truth(truth, within=2e-5, up_to_map=True),
        }
    )
    assert judge.judge([found]).figures[0].measured.value == 1.0


def test_negative_control_a_model_as_wide_as_its_vocabulary_gives_nothing() -> None:
    class Noise:
        """Answers that no final layer of small width gives."""

        def next_logits(self, rows: list[list[int]]) -> np.ndarray:
            return np.random.default_rng(sum(rows[0])).standard_normal((len(rows), 256))

        def spent(self):
            return tiny.PLENTY

    (found, *_) = FinalLayer(queries=100).run(Noise(), tiny.knows(None), Budget(100, 1.0), 0)
    assert found.facts == {}


def test_the_signature_knows_its_base_and_no_other_model() -> None:
    mine, other = claim(tiny.base(), OutputSignature()), claim(tiny.fresh(9), OutputSignature())
    assert mine.facts["final_layer_of_base"] is True
    assert mine.facts["outside"] < 1e-4
    assert other.facts["final_layer_of_base"] is False
    assert other.facts["outside"] > 0.5
