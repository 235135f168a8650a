"""Closed targets over a language model in this process, one maker a rung.

``text`` and ``topk`` are here for controls and for rungs that a policy does not grant; they render
a prompt as the door's chat route does not: as it stands, like its completions route.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from strongroom.exposure.interface import Budget, Floats
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.interface import ScoredText
from strongroom.exposure.targets.metering import Meter

MAX_TOP = 5
"""Log-probabilities a token that ``topk`` shows at the served door."""


@dataclass(frozen=True)
class LanguageModel:
    """``module``: a transformers causal model in eval mode; ``tokenizer``: a tokenizers one."""

    module: Any
    tokenizer: Any
    eos: tuple[int, ...]
    context_length: int

    @property
    def vocabulary(self) -> int:
        """Tokens in all."""
        return int(self.module.config.vocab_size)

    def ids(self, text: str) -> list[int]:
        """The tokens of ``text``, no special ones added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    @torch.no_grad()
    def logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Float32 logits (rows, longest, vocabulary); what lies past a row's end means nothing."""
        longest = max(map(len, rows))
        padded = torch.zeros(len(rows), longest, dtype=torch.long)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = torch.tensor(row)
        found: torch.Tensor = self.module(input_ids=padded, use_cache=False).logits.float()
        return found


def open_language(
    model: LanguageModel,
    rung: Rung,
    budget: Budget,
    *,
    adapter: dict[str, torch.Tensor] | None = None,
) -> Any:
    """The target of ``rung``: an object of the protocol of that rung in ``interface``.

    Raises:
        ExposureRefused: ``exposure.unknown_rung``, ``exposure.knowledge_lacking``.
    """
    meter = Meter(budget.queries)
    answer = _Answering(model, meter, 1 if rung is Rung.TOP1 else MAX_TOP)
    questions: dict[str, Callable[..., Any]] = {"spent": meter.spent}
    match rung:
        case Rung.CLOSED:
            pass
        case Rung.TEXT:
            questions["complete"] = answer.complete
        case Rung.TOP1 | Rung.TOPK:
            questions["complete_scored"] = answer.complete_scored
        case Rung.LOGITS:
            questions |= {
                "next_logits": answer.next_logits,
                "token_logprobs": answer.token_logprobs,
                "all_logits": answer.all_logits,
            }
        case Rung.WEIGHTS:
            questions["model"] = lambda: copy.deepcopy(model.module)
        case Rung.ADAPTER if adapter is not None:
            questions["adapter"] = lambda: {name: t.clone() for name, t in adapter.items()}
        case Rung.ADAPTER:
            raise refuse("exposure.knowledge_lacking", what="an adapter of the model")
        case _:
            raise refuse(
                "exposure.unknown_rung",
                name=f"{rung} for a language model",
                known="closed, text, top1, topk, logits, adapter, weights",
            )
    return close(questions)


class _Answering:
    def __init__(self, model: LanguageModel, meter: Meter, top: int) -> None:
        self._model = model
        self._meter = meter
        self._top = top

    def next_logits(self, rows: Sequence[Sequence[int]]) -> Floats:
        logits = self._ask(rows)
        last = torch.tensor([len(row) - 1 for row in rows])
        return logits[torch.arange(len(rows)), last].numpy().copy()

    def token_logprobs(self, rows: Sequence[Sequence[int]]) -> list[Floats]:
        logits = self._ask(rows)
        found = []
        for number, row in enumerate(rows):
            scores = torch.log_softmax(logits[number, : len(row) - 1], dim=1)
            chosen = scores.gather(1, torch.tensor(row[1:], dtype=torch.long)[:, None])
            found.append(chosen[:, 0].numpy().copy())
        return found

    def all_logits(self, row: Sequence[int]) -> Floats:
        return self._ask([row])[0].numpy().copy()

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        return [
            said.text
            for said in self.complete_scored(
                prompts, max_tokens=max_tokens, top=1, temperature=temperature
            )
        ]

    def complete_scored(
        self, prompts: Sequence[str], *, max_tokens: int, top: int, temperature: float = 0.0
    ) -> list[ScoredText]:
        if top > self._top:
            raise refuse("exposure.input_unfit", why=f"this rung shows {self._top} a token")
        self._meter.charge(len(prompts))
        said = [self._generate(prompt, max_tokens, top, temperature) for prompt in prompts]
        self._meter.answered(sum(len(each.tokens) for each in said))
        return said

    def _ask(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        if not rows or not all(0 < len(row) <= self._model.context_length for row in rows):
            raise refuse("exposure.input_unfit", why="a row is empty or longer than the context")
        if not all(0 <= token < self._model.vocabulary for row in rows for token in row):
            raise refuse("exposure.input_unfit", why="a token is not in the vocabulary")
        self._meter.charge(len(rows))
        found = self._model.logits(rows)
        self._meter.answered()
        return found

    @torch.no_grad()
    def _generate(self, prompt: str, most: int, top: int, temperature: float) -> ScoredText:
        model = self._model
        fed, cache = torch.tensor([model.ids(prompt)]), None
        ids: list[int] = []
        scored: list[tuple[float, tuple[tuple[str, float], ...]]] = []
        while len(ids) < min(most, model.context_length - fed.shape[1]):
            out = model.module(input_ids=fed, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            scores = torch.log_softmax(out.logits[0, -1].float(), dim=0)
            token = _choose(scores, temperature)
            if token in model.eos:
                break
            best = torch.topk(scores, top)
            named = tuple(
                (model.tokenizer.decode([int(i)]), float(v))
                for i, v in zip(best.indices, best.values, strict=True)
            )
            listed = token in best.indices.tolist()
            scored.append((float(scores[token]) if listed else -9999.0, named))
            ids.append(token)
            fed = torch.tensor([[token]])
        return ScoredText(
            model.tokenizer.decode(ids),
            tuple(model.tokenizer.decode([i]) for i in ids),
            tuple(value for value, _ in scored),
            tuple(named for _, named in scored),
        )


def _choose(scores: torch.Tensor, temperature: float) -> int:
    if temperature == 0.0:
        return int(scores.argmax())
    chances = torch.softmax(scores / temperature, dim=0).numpy().astype(np.float64)
    return int(np.random.default_rng().choice(len(chances), p=chances / chances.sum()))
