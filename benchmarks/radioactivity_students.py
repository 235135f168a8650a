"""Small students of a teacher's answers, for ``radioactivity``.

Two kinds. Some only count which token follows which: they cost nothing and learn all that a mark of
pairs leaves in a text. Others are Llamas from nothing, trained on answers alone. Their vocabulary
is that of the texts, numbered anew, which makes them cheap: the head of a vocabulary of 49,152 is
most of the work otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.nn import functional

from strongroom.watermark.interface import Scheme
from strongroom.watermark.radioactivity import Probe, Values, reading

WIDTH, LAYERS, LENGTH, BATCH = 128, 2, 128, 8
PRIOR = 20.0
END = 0
"""Between answers; a token that none of them holds."""

Ids = NDArray[np.int64]


class Words:
    """The tokens that students know: ``END``, the most frequent of some texts, one for others."""

    def __init__(self, texts: Ids, most: int = 8191) -> None:
        counts = np.bincount(texts)
        counts[END] = len(texts)
        kept = np.argsort(-counts, kind="stable")[:most]
        self.kept = np.sort(kept[counts[kept] > 0])
        self._numbers = np.full(1 << 20, len(self.kept))
        self._numbers[self.kept] = np.arange(len(self.kept))

    def __len__(self) -> int:
        return len(self.kept) + 1

    def numbers(self, ids: Ids) -> torch.Tensor:
        """As students number them."""
        return torch.from_numpy(self._numbers[ids])


def stream(answers: list[Ids]) -> Ids:
    """The answers one after the other, each begun by ``END``."""
    return np.concatenate([part for answer in answers for part in ([END], answer)])


def student(ids: torch.Tensor, words: int, seed: int, epochs: int) -> Any:
    """One that has read ``ids`` so many times."""
    torch.manual_seed(seed)
    model: Any = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=words,
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
            eos_token_id=END,
        )
    )
    rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    steps = epochs * (len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    left = 0.0
    for _ in range(epochs):
        for some in torch.randperm(len(rows))[: len(rows) // BATCH * BATCH].reshape(-1, BATCH):
            logits = model(input_ids=rows[some]).logits[:, :-1]
            loss = functional.cross_entropy(logits.flatten(0, 1), rows[some][:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            left = float(loss.detach())
    model.left = left
    return model.eval()


Chances = Callable[[Ids], NDArray[np.float32]]
"""Rows (n, length) of a probe to the chances (n, length - 1, tokens) of its tokens."""


def neural(learnt: Ids, words: Words, probe: Probe, seed: int, epochs: int) -> Chances:
    """What a Llama that has read ``learnt`` thinks."""
    model = student(words.numbers(learnt), len(words), seed, epochs)
    columns = words.numbers(probe.tokens)

    @torch.no_grad()
    def told(rows: Ids) -> NDArray[np.float32]:
        logits = model(input_ids=words.numbers(rows)).logits[:, :-1]
        return torch.softmax(logits, -1)[..., columns].numpy()

    return told


def counting(learnt: Ids, words: Words, probe: Probe) -> Chances:
    """What one thinks that has counted pairs in ``learnt``: as many more as ``PRIOR`` are thought
    to have followed each token, like all that was read (Dirichlet's smoothing)."""
    size = len(words)
    numbers = words.numbers(learnt).numpy()
    pairs = numbers[:-1] * size + numbers[1:]
    everywhere = (np.bincount(numbers, minlength=size) + 1.0) / (len(numbers) + size)
    columns = words.numbers(probe.tokens).numpy()
    before = words.numbers(np.unique(probe.rows)).numpy()
    asked = before[:, None] * size + columns[None, :]
    codes, counts = np.unique(pairs, return_counts=True)
    at = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
    seen = np.where(codes[at] == asked, counts[at], 0)
    total = np.bincount(numbers[:-1], minlength=size)[before]
    table = (seen + PRIOR * everywhere[columns]) / (total + PRIOR)[:, None]

    def told(rows: Ids) -> NDArray[np.float32]:
        places = np.searchsorted(np.unique(probe.rows), rows[:, :-1])
        return np.asarray(table[places], dtype=np.float32)

    return told


def read(told: Chances, scheme: Scheme, probe: Probe) -> tuple[Values, Ids]:
    """What a student predicts on the probe: its reading, and the likeliest of the probe's tokens
    at each place (rows, length - 1)."""
    found, likeliest = reading(scheme, probe), []
    for at in range(0, len(probe.rows), 16):
        rows = probe.rows[at : at + 16]
        chances = told(rows)
        found.add(rows, chances)
        likeliest.append(probe.tokens[chances.argmax(-1)])
    return found.value(), np.concatenate(likeliest)
