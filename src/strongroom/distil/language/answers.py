"""The teacher behind a closed target: it tells what was declared, counted, and then no more.

A charge is taken before the answer is given. Answers live in memory, in this process only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from strongroom.distil.language.plan import Asked, LanguagePlan
from strongroom.distil.language.vocabulary import Vocabulary
from strongroom.distil.reasons import refuse
from strongroom.exposure.interface import Integers
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.in_process_language import LanguageModel

_AT_ONCE = 512
"""Positions whose scores stand in memory at once."""


class Allowance:
    """What may be told in all.

    Args:
        most: as declared.
    """

    def __init__(self, most: Asked) -> None:
        self._most = most
        self._told = Asked()

    def charge(self, more: Asked) -> None:
        """Take ``more`` before it is told.

        Raises:
            ExposureRefused: ``distil.asked_out``; nothing was taken.
        """
        told = {name: getattr(self._told, name) + getattr(more, name) for name in _COUNTS}
        for name, count in told.items():
            most = getattr(self._most, name)
            if count > most:
                raise refuse("distil.asked_out", what=name, most=most)
        self._told = Asked(**told)

    def spent(self) -> Asked:
        """The counts so far."""
        return self._told


_COUNTS = ("positions", "coordinates", "bits")


@dataclass(frozen=True)
class Answered:
    """What the teacher told of rows (n, length + 1): of each token but the last, what comes next.

    ``tokens`` (n, length, k) int32: student's numbers, likeliest first; None: all, in order.
    ``scores`` (n, length, k or all) float16: log-probabilities of them; None for labels.
    """

    tokens: Tensor | None
    scores: Tensor | None


def open_teacher(model: LanguageModel, plan: LanguagePlan, vocabulary: Vocabulary) -> Any:
    """A target with ``spent()``, and ``continued`` or ``told``, as the plan's answers are.

    Args:
        model: the teacher.
        plan: what it tells at most.
        vocabulary: the student's; all answers but text choose among its tokens.
    """
    allowance = Allowance(plan.asked)
    answering = _Answering(model, plan, vocabulary, allowance)
    questions: dict[str, Callable[..., Any]] = {"spent": allowance.spent}
    if plan.answers == "text":
        questions["continued"] = answering.continued
    else:
        questions["told"] = answering.told
    return close(questions)


class _Answering:
    def __init__(
        self,
        model: LanguageModel,
        plan: LanguagePlan,
        vocabulary: Vocabulary,
        allowance: Allowance,
    ) -> None:
        self._model = model
        self._plan = plan
        self._vocabulary = vocabulary
        self._allowance = allowance
        self._chance = torch.Generator().manual_seed(plan.seed + 1)

    def continued(self, texts: Sequence[str]) -> list[str]:
        """Each text's first tokens, and what the teacher goes on with; texts that are too short are
        left out."""
        most = self._plan.prompt
        rows = [ids[:most] for text in texts if len(ids := self._model.ids(text)) >= most]
        if not rows:
            return []
        said = self._generate(torch.tensor(rows))
        positions = sum(len(each) for each in said)
        self._allowance.charge(self._plan.charge(positions, self._model.vocabulary, len(said)))
        ends = set(self._model.eos)
        return [
            self._model.tokenizer.decode([*row, *(token for token in each if token not in ends)])
            for row, each in zip(rows, said, strict=True)
        ]

    def told(self, rows: Integers) -> Answered:
        """See ``Answered``; ``rows`` are the student's tokens."""
        count, positions = len(rows), rows.shape[1] - 1
        charge = self._plan.charge(count * positions, self._vocabulary.size)
        self._allowance.charge(charge)
        scores = self._scores(rows)
        match self._plan.answers:
            case "labels":
                tokens = scores(lambda part: part.argmax(1, keepdim=True).int())
                return Answered(tokens.view(count, positions, 1), None)
            case "top-k":
                both = scores(lambda part: torch.cat(_top(part, self._plan.k), 1))
                tokens, chances = both.view(count, positions, -1).chunk(2, -1)
                return Answered(tokens.int(), chances.half())
        said = scores(lambda part: part.log_softmax(1).half())
        return Answered(None, said.view(count, positions, -1))

    def _scores(self, rows: Integers) -> Callable[[Callable[[Tensor], Tensor]], Tensor]:
        """How to ask something of the scores (positions, size), some positions at a time."""
        kept = torch.from_numpy(np.asarray(self._vocabulary.kept))
        with torch.no_grad():
            hidden = self._model.module.base_model(
                input_ids=kept[torch.from_numpy(rows[:, :-1])], use_cache=False
            ).last_hidden_state.flatten(0, 1)
            head = self._model.module.get_output_embeddings()
            bias = None if head.bias is None else head.bias[kept]

        @torch.no_grad()
        def ask(of: Callable[[Tensor], Tensor]) -> Tensor:
            return torch.cat(
                [of(linear(part, head.weight[kept], bias)) for part in hidden.split(_AT_ONCE)]
            )

        return ask

    @torch.no_grad()
    def _generate(self, fed: Tensor) -> list[list[int]]:
        """Sampled tokens after rows (n, length) of one length, up to and with an end token."""
        cache = None
        said: list[Tensor] = []
        ends = torch.tensor(self._model.eos)
        open_still = torch.ones(len(fed), dtype=torch.bool)
        room = self._model.context_length - fed.shape[1]
        while len(said) < min(self._plan.continuation, room) and bool(open_still.any()):
            out = self._model.module(
                input_ids=fed, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache = out.past_key_values
            chances = torch.softmax(out.logits[:, -1].float() / self._plan.temperature, 1)
            token = torch.multinomial(chances, 1, generator=self._chance)
            said.append(torch.where(open_still, token[:, 0], -1))
            open_still &= ~torch.isin(token[:, 0], ends)
            fed = token
        return [[token for token in row if token >= 0] for row in torch.stack(said, 1).tolist()]


def _top(scores: Tensor, k: int) -> list[Tensor]:
    """Tokens and log-probabilities of the likeliest ``k``, as floats."""
    found = torch.topk(scores.log_softmax(1), k)
    return [found.indices.float(), found.values]
