"""Closed targets over a language model in this process, one maker a rung.

``text`` and ``topk`` are here for controls and for rungs that a policy does not grant; they render
a prompt as the door's chat route does not: as it stands, like its completions route.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from strongroom.exposure.interface import Budget, Floats
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.biased import Biased
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.embedding_steps import in_steps
from strongroom.exposure.targets.interface import ScoredText
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.shared_prefix import SharedPrefix

MOST_REMEMBERED = 65_536
"""Positions that are remembered: 150 MB of hidden states at a width of 576."""

_AT_ONCE = 256
"""Positions whose logits stand in memory at once: 50 MB for 49,152 tokens."""

MAX_TOP = 5
"""Log-probabilities a token that ``topk`` shows at the served door."""


@dataclass(frozen=True)
class LanguageModel:
    """``module``: a transformers causal model in eval mode; ``tokenizer``: a tokenizers one.

    Attacks ask about the same texts. What is said of a text is remembered, up to
    ``MOST_REMEMBERED`` positions: its final hidden states, and the log-probabilities of its tokens.
    """

    module: Any
    tokenizer: Any
    eos: tuple[int, ...]
    context_length: int
    _known: dict[tuple[int, ...], torch.Tensor] = field(
        default_factory=dict, repr=False, compare=False
    )
    _scored: dict[tuple[int, ...], torch.Tensor] = field(
        default_factory=dict, repr=False, compare=False
    )
    _prefix: SharedPrefix = field(default_factory=SharedPrefix, repr=False, compare=False)

    @property
    def vocabulary(self) -> int:
        """Tokens in all."""
        return int(self.module.config.vocab_size)

    def ids(self, text: str) -> list[int]:
        """The tokens of ``text``, no special ones added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    @torch.no_grad()
    def hidden(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Of each row its final hidden states (length, width)."""
        return _remembered(self._known, rows, self._compute)

    @torch.no_grad()
    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Of each row the log-probability of each token but the first, (length - 1,)."""
        return _remembered(self._scored, rows, self._score)

    @torch.no_grad()
    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits (..., vocabulary) of hidden states."""
        found: torch.Tensor = self.module.get_output_embeddings()(hidden).float()
        return found

    def embedded(self, texts: Sequence[str]) -> Floats:
        """Embeddings (texts, width) as the served door gives them."""
        rows = [self.ids(text)[: self.context_length] for text in texts]
        return in_steps(torch.stack([states.mean(0) for states in self.hidden(rows)]).numpy())

    def _compute(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        return self._prefix.states(self.module, rows)

    def _score(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        states = torch.cat([states[:-1] for states in self.hidden(rows)])
        tokens = torch.tensor([token for row in rows for token in row[1:]], dtype=torch.long)
        parts = zip(torch.split(states, _AT_ONCE), torch.split(tokens, _AT_ONCE), strict=True)
        found = torch.cat([_chosen(self.head(part), said) for part, said in parts])
        return [part.clone() for part in torch.split(found, [len(row) - 1 for row in rows])]


def _remembered(
    known: dict[tuple[int, ...], torch.Tensor],
    rows: Sequence[Sequence[int]],
    compute: Callable[[list[tuple[int, ...]]], list[torch.Tensor]],
) -> list[torch.Tensor]:
    """``compute`` of the rows that are not ``known``; all answers in the order of ``rows``."""
    new = list(dict.fromkeys(row for row in map(tuple, rows) if row not in known))
    found = dict(zip(new, compute(new), strict=True)) if new else {}
    wanted = [found[row] if row in found else known[row] for row in map(tuple, rows)]
    if sum(map(len, known)) + sum(map(len, found)) > MOST_REMEMBERED:
        known.clear()
    known.update(found)
    return wanted


def _chosen(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(1)


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
            questions |= {"complete": answer.complete, "biased": answer.bias_refused}
        case Rung.TOP1 | Rung.TOPK:
            questions |= {
                "complete_scored": answer.complete_scored,
                "biased": answer.bias_refused,
            }
        case Rung.LOGITS:
            questions |= {
                "biased": answer.biased,
                "next_logits": answer.next_logits,
                "token_logprobs": answer.token_logprobs,
                "all_logits": answer.all_logits,
            }
        case Rung.EMBEDDINGS:
            questions["embed"] = answer.embed
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
                known="closed, text, top1, topk, logits, embeddings, adapter, weights",
            )
    return close(questions)


class _Answering:
    def __init__(self, model: LanguageModel, meter: Meter, top: int) -> None:
        self._model = model
        self._meter = meter
        self._top = top
        self._lifted: dict[str, Biased] = {}

    def next_logits(self, rows: Sequence[Sequence[int]]) -> Floats:
        last = torch.stack([states[-1] for states in self._ask(rows, self._model.hidden)])
        return self._model.head(last).numpy()

    def token_logprobs(self, rows: Sequence[Sequence[int]]) -> list[Floats]:
        return [said.numpy().copy() for said in self._ask(rows, self._model.logprobs)]

    def all_logits(self, row: Sequence[int]) -> Floats:
        return self._model.head(self._ask([row], self._model.hidden)[0]).numpy()

    def embed(self, texts: Sequence[str]) -> Floats:
        self._meter.charge(len(texts))
        found = self._model.embedded(texts)
        self._meter.answered()
        return found

    def bias_refused(
        self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int
    ) -> list[tuple[tuple[str, float], ...]]:
        """As the served door does."""
        self._meter.charge(1)
        self._meter.refused("gateway.parameter_not_allowed")
        self._meter.stopped("exposure.endpoint_refused")
        raise refuse("exposure.endpoint_refused", why="logit_bias is no parameter of this rung")

    def biased(
        self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int
    ) -> list[tuple[tuple[str, float], ...]]:
        """As an endpoint that takes ``logit_bias``, with ``MAX_TOP`` log-probabilities at most."""
        if not 1 <= top <= MAX_TOP or any(abs(b) > 100 for each in biases for b in each.values()):
            raise refuse("exposure.input_unfit", why=f"a bias is -100 to 100, top 1 to {MAX_TOP}")
        self._meter.charge(len(prompts))
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._lifted]
        states = self._model.hidden([self._model.ids(prompt) for prompt in new]) if new else []
        for prompt, state in zip(new, states, strict=True):
            self._lifted[prompt] = Biased(self._model.head(state[-1]).numpy())
        said = []
        for prompt, bias in zip(prompts, biases, strict=True):
            likeliest = self._lifted[prompt].top(bias, top)
            said.append(tuple((self._model.tokenizer.decode([t]), v) for t, v in likeliest))
        self._meter.answered(len(prompts))
        return said

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

    def _ask(
        self,
        rows: Sequence[Sequence[int]],
        answer: Callable[[Sequence[Sequence[int]]], list[torch.Tensor]],
    ) -> list[torch.Tensor]:
        """What ``answer`` says of checked rows; each is charged, remembered or not."""
        if not rows or not all(0 < len(row) <= self._model.context_length for row in rows):
            raise refuse("exposure.input_unfit", why="a row is empty or longer than the context")
        if not all(0 <= token < self._model.vocabulary for row in rows for token in row):
            raise refuse("exposure.input_unfit", why="a token is not in the vocabulary")
        self._meter.charge(len(rows))
        found = answer(rows)
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
