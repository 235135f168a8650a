"""A small language model from nothing, over the tokens that were seen and one for all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strongroom.exposure.attacks.language.lora import Lesson, expected_loss, shares_of
from strongroom.exposure.interface import Floats, Integers

_WIDTH, _LAYERS, _BATCH, _RATE = 96, 2, 16, 3e-3


class OwnStudent:
    """Trained on lessons, questions and answers alike: it has to learn the language as well.

    Args:
        lessons: rows of tokens; where an answer's shares are known they are learnt.
        vocabulary: tokens of the target.
        steps: of training.
        seed: of everything random.
    """

    def __init__(self, lessons: Sequence[Lesson], vocabulary: int, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        known = {token for lesson in lessons for token in lesson.ids}
        known |= {token for lesson in lessons for s in lesson.shares for token, _ in s}
        self._tokens = np.array(sorted(known))
        self._number = {int(token): n + 1 for n, token in enumerate(self._tokens)}
        self._others = max(1, vocabulary - len(known))
        self._module = _fresh(len(known) + 1)
        self._train(lessons, steps, seed)

    def predict(self, rows: Sequence[Sequence[int]]) -> list[tuple[Integers, Floats]]:
        """See ``LanguageClone``; what was never seen shares one token's probability."""
        return [self._one(row) for row in rows]

    @torch.no_grad()
    def _one(self, row: Sequence[int]) -> tuple[Integers, Floats]:
        ids = torch.tensor([self._number.get(int(token), 0) for token in row])
        scores = self._logits(ids[None])[0, :-1].log_softmax(1)
        best = self._tokens[scores[:, 1:].argmax(1).numpy()]
        chosen = scores.gather(1, ids[1:, None])[:, 0].double().numpy()
        return best, chosen - np.where(ids[1:].numpy() == 0, math.log(self._others), 0.0)

    def _logits(self, ids: Tensor) -> Tensor:
        found: Tensor = self._module(input_ids=ids, use_cache=False).logits
        return found

    def _train(self, lessons: Sequence[Lesson], count: int, seed: int) -> None:
        chance = np.random.default_rng(seed)
        steps = torch.optim.AdamW(self._module.parameters(), _RATE)
        for _ in range(count):
            part = [lessons[n] for n in chance.integers(0, len(lessons), _BATCH)]
            rows = [torch.tensor([self._number[token] for token in each.ids]) for each in part]
            logits = self._logits(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))
            said = torch.cat([logits[n, : len(row) - 1] for n, row in enumerate(rows)])
            steps.zero_grad()
            torch.autograd.backward(expected_loss(said, [s for e in part for s in self._all(e)]))
            steps.step()
        self._module.eval()

    def _all(self, lesson: Lesson) -> list[list[tuple[int, float]]]:
        """What follows each token but the last."""
        begun = [[(self._number[token], 1.0)] for token in lesson.ids[1 : lesson.start]]
        answered = [[(self._number[t], share) for t, share in s] for s in shares_of(lesson)]
        return begun + answered


def _fresh(vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    made: Any = LlamaForCausalLM
    return made(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=_WIDTH,
            intermediate_size=2 * _WIDTH,
            num_hidden_layers=_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2048,
        )
    )
