"""A language model that its owner opened: beside its answers, its weights are at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from strongroom.exposure.attacks.language.final_layer import FinalLayer, head_of, sampled_tokens
from strongroom.exposure.attacks.language.gradient_oracle import GradientOracle
from strongroom.exposure.attacks.language.language_cloning import Predictor, said_of
from strongroom.exposure.attacks.language.logit_bias import LogitBias
from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.data import Corpus
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Family,
    Floats,
    Integers,
    Knowledge,
    Knows,
)
from strongroom.exposure.judge.activations import ActivationsJudge, Exports
from strongroom.exposure.judge.embedded_words import EmbeddedWordsJudge
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.judge.language_cloning import LanguageCloningJudge, Said
from strongroom.exposure.judge.output import OutputJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.interface import Opener, Scale
from strongroom.exposure.subjects.texts import LAYER, LAYER_ERROR, TextSubject, bias_truths
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language

_HELD = {"quick": 24, "standard": 200, "deep": 1000}
"""Held-out texts by which a clone is judged, and half as many of another distribution."""

_EMBEDDED = {"quick": 60, "standard": 200, "deep": 1000}
"""Texts whose embeddings are read, and half as many as the attacker has embedded."""

_PLACES = 40
"""Tokens of each."""


class LanguageSubject(TextSubject):
    """See the module.

    Args:
        model: the owner's.
        corpus: texts and canaries; None measures only what needs none.
        base: the public base, as a transformers module, or None.
        scale: how much of everything.
        served: how the door is reached, by rung.
        adapter: merged fine-tunes that were handed out (``RELEASE/NAME``), or None.
        exports: makes the adapters of the gradient oracle's drill when it runs; None: nobody does.
        goals: what searches for prompts are to make it say; none leaves them out.
        seed: of choices.
    """

    rungs = (
        Rung.TEXT,
        Rung.TOP1,
        Rung.TOPK,
        Rung.LOGITS,
        Rung.EMBEDDINGS,
        Rung.ADAPTER,
        Rung.WEIGHTS,
    )

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus | None,
        base: Any,
        scale: Scale,
        served: Mapping[Rung, Opener],
        *,
        adapter: Mapping[str, Any] | None = None,
        exports: Callable[[], Exports] | None = None,
        goals: Sequence[Goal] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(corpus, base, model.tokenizer, scale, served, seed)
        self._adapter = None if adapter is None else dict(adapter)
        self._make_exports = exports
        self._exports: Exports | None = None
        self._goals = tuple(goals)
        self._model = model
        self._said: dict[tuple[int, ...], tuple[Integers, Floats]] = {}

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """See the base."""
        handed = self._adapter
        if self._exports is not None:
            handed = {**(handed or {}), **self._exports.tensors}
        return open_language(self._model, rung, budget, adapter=handed)

    def facts(self) -> dict[str, str]:
        """See the base."""
        return {"vocabulary": f"{self._model.vocabulary:,}"} | super().facts()

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base."""
        known = super().knowledge(attack, level, seed)
        if isinstance(attack, GradientOracle):
            self._drilled()  # what is handed out
        if attack.family is Family.INVERSION:
            theirs, ours = self._embedded
            return dataclasses.replace(known, data=theirs, asked=self._model.embedded(ours))
        if attack.family is not Family.OUTPUT:
            return known
        if not self._goals:
            raise refuse("exposure.knowledge_lacking", what=f"what {attack.name} asks about")
        return dataclasses.replace(known, asked=self._goals)

    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """See the base."""
        match attack.family:
            case Family.REVERSE if isinstance(attack, FinalLayer):
                return self._final_layer(attack, seed)
            case Family.REVERSE if isinstance(attack, LogitBias):
                return FactsJudge(bias_truths(self._model.module, seed, self._public), LAYER)
            case Family.REVERSE if attack.name == "output-signature":
                return FactsJudge(self._signature(), "the base")
            case Family.BASE if isinstance(attack, GradientOracle):
                return ActivationsJudge(self._drilled(), seed=seed)
            case Family.BASE:
                return FactsJudge(self._base_weights(), "the base's weights")
            case Family.OUTPUT:
                return self._output_judge(seed)
            case Family.INVERSION:
                theirs, ours = self._embedded
                return EmbeddedWordsJudge(ours, theirs, seed=seed)
            case Family.CLONING:
                return self._cloning_judge(level, seed)
        return super().judge(attack, level, seed)

    @property
    def _embedded(self) -> tuple[list[str], list[str]]:
        """The attacker's texts, and those whose embeddings he was given."""
        most = _EMBEDDED[self._scale.name]
        return self._theirs()[: 2 * most], self._ours()[:most]

    def _cloning_judge(self, level: Knows, seed: int) -> Judge:
        most = _HELD[self._scale.name]
        held = self._ours()[:most]
        by = np.random.default_rng(seed + 5)
        mixed = [" ".join(by.permutation(text.split())) for text in held[: most // 2]]
        rows, foreign = (
            [row for text in part if len(row := self._model.ids(text)[:_PLACES]) > 1]
            for part in (held, mixed)
        )
        public = self._base_says if level is Knows.BASE and self._base is not None else None
        return LanguageCloningJudge(rows, foreign, self._says, public, seed=seed)

    def _says(self, rows: Sequence[Sequence[int]]) -> Said:
        states = zip(self._model.hidden(rows), rows, strict=True)
        return [said_of(self._model.head(state), torch.tensor(list(row))) for state, row in states]

    def _base_says(self, rows: Sequence[Sequence[int]]) -> Said:
        """What the public base says; remembered, since each rung's judge asks about the same."""
        new = [row for row in rows if tuple(row) not in self._said]
        if new and self._base is not None:
            said = Predictor(self._base.model())(new)
            self._said |= {tuple(row): one for row, one in zip(new, said, strict=True)}
        return [self._said[tuple(row)] for row in rows]

    def _signature(self) -> dict[str, Truth]:
        if self._base is None:
            raise refuse("exposure.knowledge_lacking", what="the public base of the model (--base)")
        tokens = range(0, self._model.vocabulary, 97)
        ours, theirs = head_of(self._model.module, tokens), head_of(self._base.model(), tokens)
        same = ours.shape == theirs.shape and bool(np.allclose(ours, theirs, atol=1e-2))
        return {"final_layer_of_base": Truth(same, chance=0.5)}

    def _base_weights(self) -> dict[str, Truth]:
        if self._base is None or self._adapter is None:
            raise refuse("exposure.knowledge_lacking", what="the base, to compare with")
        names = sorted({name.partition("/")[2] for name in self._adapter})
        module = self._base.model()
        return {
            name: Truth(module.get_parameter(name).detach().float().numpy(), within=1e-5)
            for name in names
        }

    def _drilled(self) -> Exports:
        if self._exports is None:
            if self._make_exports is None:
                what = "adapters by the owner's limits; --budget standard trains some"
                raise refuse("exposure.knowledge_lacking", what=what)
            self._exports = self._make_exports()
        return self._exports

    def _output_judge(self, seed: int) -> Judge:
        chance = np.random.default_rng(seed)
        drawn = [
            self._model.tokenizer.decode(chance.integers(0, self._model.vocabulary, 12).tolist())
            for _ in self._goals
        ]
        plain = [goal.question for goal in self._goals]
        random = [goal.question + text for goal, text in zip(self._goals, drawn, strict=True)]
        return OutputJudge(self._loss, plain, random, seed=seed)

    def _loss(self, number: int, prompt: str) -> float:
        """Mean loss of a goal's answer after the template with ``prompt``, nats a token."""
        goal = self._goals[number]
        start = self._model.ids(goal.before + prompt + goal.after)
        answer = self._model.ids(goal.answer)
        states = self._model.hidden([[*start, *answer]])[0][len(start) - 1 : -1]
        logits = self._model.head(states)
        chosen = logits.log_softmax(1).gather(1, torch.tensor(answer)[:, None])
        return -float(chosen.mean())

    def _final_layer(self, attack: FinalLayer, seed: int) -> Judge:
        most = min(attack.queries, self._scale.queries)
        tokens = sampled_tokens(self._model.vocabulary, 2 * most, seed)
        layer = head_of(self._model.module, tokens)
        return FactsJudge(
            {
                "hidden_size": Truth(int(layer.shape[1]), chance=1e-3),
                "final_layer": Truth(layer, within=LAYER_ERROR, up_to_map=True),
            },
            LAYER,
        )
