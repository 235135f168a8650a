"""A language model under audit.

The texts of the owner's corpus are what membership is asked about; their second halves are what
extraction must find; canaries are ranked among all numbers of their length. An attacker who knows
the public base has it as a copy of his own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from strongroom.exposure.attacks.language.asking import PublicBase
from strongroom.exposure.attacks.language.final_layer import FinalLayer, head_of, sampled_tokens
from strongroom.exposure.attacks.language.questions import Continuation, Goal, Secret
from strongroom.exposure.data import Corpus, Text
from strongroom.exposure.interface import Attack, Budget, Family, Knowledge, Knows
from strongroom.exposure.judge.blind import text_features
from strongroom.exposure.judge.extraction import CanaryJudge, VerbatimJudge
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.judge.output import OutputJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.interface import Opener, Scale, Subject
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language

_CONTINUED = 60
_ERROR = 1e-3
_TEXTS = {"quick": 150, "standard": 1000, "deep": 10_000}


class LanguageSubject(Subject):
    """See the module.

    Args:
        model: the owner's.
        corpus: texts and canaries; None measures only what needs none.
        base: the public base, as a transformers module, or None.
        scale: how much of everything.
        served: how the door is reached, by rung.
        adapter: merged fine-tunes that were handed out (``RELEASE/NAME``), or None.
        goals: what searches for prompts are to make it say; none leaves them out.
        seed: of choices.
    """

    kind = "causal-lm"
    rungs = (Rung.TEXT, Rung.TOP1, Rung.TOPK, Rung.LOGITS, Rung.ADAPTER, Rung.WEIGHTS)

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus | None,
        base: Any,
        scale: Scale,
        served: Mapping[Rung, Opener],
        *,
        adapter: Mapping[str, Any] | None = None,
        goals: Sequence[Goal] = (),
        seed: int = 0,
    ) -> None:
        self._adapter = None if adapter is None else dict(adapter)
        self._goals = tuple(goals)
        self.served = dict(served)
        self._model = model
        self._corpus = corpus
        self._base = None if base is None else PublicBase(base)
        self._scale = scale
        self._seed = seed

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """See the base."""
        return open_language(self._model, rung, budget, adapter=self._adapter)

    def facts(self) -> dict[str, str]:
        """See the base."""
        said = {"vocabulary": f"{self._model.vocabulary:,}"}
        said["public base"] = "given" if self._base else "not given"
        if self._corpus is None:
            return said | {"texts": "none were given"}
        members = sum(text.member for text in self._corpus.texts)
        others = len(self._corpus.texts) - members
        return said | {
            "texts": f"{members:,} trained on, {others:,} not",
            "canaries": f"{len(self._corpus.canaries):,}",
        }

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base."""
        if level is Knows.BASE and self._base is None:
            raise refuse("exposure.knowledge_lacking", what="the public base of the model (--base)")
        known = Knowledge(
            level,
            base=self._base if level is Knows.BASE else None,
            public={"tokenizer": self._model.tokenizer},
        )
        match attack.family:
            case Family.MEMBERSHIP:
                return dataclasses.replace(known, asked=[text.text for text in self._texts()])
            case Family.EXTRACTION:
                return dataclasses.replace(known, asked=self._extracted(attack))
            case Family.REVERSE | Family.BASE:
                return known
            case Family.OUTPUT if self._goals:
                return dataclasses.replace(known, asked=self._goals)
        raise refuse("exposure.knowledge_lacking", what=f"what {attack.name} asks about")

    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """See the base."""
        match attack.family:
            case Family.MEMBERSHIP:
                texts = self._texts()
                bits = np.array([text.member for text in texts])
                return MembershipJudge(bits, text_features([t.text for t in texts]), seed=seed)
            case Family.EXTRACTION if attack.name == "canary-exposure":
                return CanaryJudge([c.copies for c in self._whole().canaries], seed=seed)
            case Family.EXTRACTION:
                texts = self._continued()
                return VerbatimJudge([_halved(t)[1] for t in texts], [t.member for t in texts])
            case Family.REVERSE if isinstance(attack, FinalLayer):
                return self._final_layer(attack, seed)
            case Family.REVERSE if attack.name == "output-signature":
                return FactsJudge(self._signature(), "the base")
            case Family.BASE:
                return FactsJudge(self._base_weights(), "the base's weights")
            case Family.OUTPUT:
                return self._output_judge(seed)
        raise refuse("exposure.knowledge_lacking", what=f"a judge of {attack.name}")

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
        logits = self._model.logits([[*start, *answer]])[0, len(start) - 1 : -1]
        chosen = logits.log_softmax(1).gather(1, torch.tensor(answer)[:, None])
        return -float(chosen.mean())

    def _whole(self) -> Corpus:
        if self._corpus is None:
            raise refuse("exposure.knowledge_lacking", what="the owner's data (--data)")
        return self._corpus

    def _texts(self, most: int | None = None) -> list[Text]:
        """As many members as others, in a random order."""
        each = most or _TEXTS[self._scale.name]
        chance = np.random.default_rng(self._seed)
        parts = []
        for member in (True, False):
            found = [text for text in self._whole().texts if text.member is member]
            order = chance.permutation(len(found))[:each]
            parts += [found[number] for number in order]
        return [parts[number] for number in chance.permutation(len(parts))]

    def _continued(self) -> list[Text]:
        return [text for text in self._texts(_CONTINUED) if len(text.text.split()) >= 4]

    def _extracted(self, attack: Attack) -> list[Any]:
        if attack.name == "canary-exposure":
            return [Secret(c.prefix, c.secret) for c in self._whole().canaries]
        halves = [_halved(text) for text in self._continued()]
        if attack.name == "discoverable-extraction":
            return [Continuation(*pair) for pair in halves]
        return [prefix for prefix, _ in halves]

    def _final_layer(self, attack: FinalLayer, seed: int) -> Judge:
        most = min(attack.queries, self._scale.queries)
        tokens = sampled_tokens(self._model.vocabulary, 2 * most, seed)
        layer = head_of(self._model.module, tokens)
        return FactsJudge(
            {
                "hidden_size": Truth(int(layer.shape[1]), chance=1e-3),
                "final_layer": Truth(layer, within=_ERROR, up_to_map=True),
            },
            "the final layer",
        )


def _halved(text: Text) -> tuple[str, str]:
    """First and second half by words; the space stands with the second."""
    words = text.text.split(" ")
    middle = len(words) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])
