"""A language model under audit, as far as answers and the owner's corpus go.

The texts of the owner's corpus are what membership is asked about; their second halves are what
extraction must find; canaries are ranked among all numbers of their length. An attacker who knows
the public base has it as a copy of his own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from strongroom.exposure.attacks.language.asking import PublicBase
from strongroom.exposure.attacks.language.final_layer import head_of
from strongroom.exposure.attacks.language.lifting import layer_tokens, spoken
from strongroom.exposure.attacks.language.logit_bias import LogitBias
from strongroom.exposure.attacks.language.questions import Continuation, Secret
from strongroom.exposure.data import Corpus, Text
from strongroom.exposure.interface import Attack, Family, Knowledge, Knows
from strongroom.exposure.judge.blind import text_features
from strongroom.exposure.judge.extraction import CanaryJudge, VerbatimJudge
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.interface import Opener, Scale, Subject

LAYER, LAYER_ERROR = "the final layer", 1e-3
_CONTINUED = 60
_TEXTS = {"quick": 120, "standard": 1000, "deep": 10_000}


class TextSubject(Subject):
    """See the module.

    Args:
        corpus: texts and canaries; None measures only what needs none.
        base: the public base, as a transformers module, or None.
        tokenizer: the model's, a ``tokenizers`` one; None where nobody gave it.
        scale: how much of everything.
        served: how the door is reached, by rung.
        seed: of choices.
    """

    kind = "causal-lm"

    def __init__(
        self,
        corpus: Corpus | None,
        base: Any,
        tokenizer: Any,
        scale: Scale,
        served: Mapping[Rung, Opener],
        seed: int,
    ) -> None:
        self.served = dict(served)
        self._corpus = corpus
        self._base = None if base is None else PublicBase(base)
        self._tokenizer = tokenizer
        self._scale = scale
        self._seed = seed

    def facts(self) -> dict[str, str]:
        """See the base."""
        said = {"public base": "given" if self._base else "not given"}
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
            public=self._public,
        )
        match attack.family:
            case Family.MEMBERSHIP:
                return dataclasses.replace(known, asked=[text.text for text in self._texts()])
            case Family.EXTRACTION:
                return dataclasses.replace(known, asked=self._extracted(attack))
            case Family.CLONING:
                return dataclasses.replace(known, data=self._theirs())
        return known

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
            case Family.REVERSE if isinstance(attack, LogitBias) and self._base is not None:
                return FactsJudge(bias_truths(self._base.model(), seed, self._public), LAYER)
        raise refuse("exposure.knowledge_lacking", what=f"a judge of {attack.name}")

    @property
    def _public(self) -> Mapping[str, Any]:
        return {} if self._tokenizer is None else {"tokenizer": self._tokenizer}

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

    def _theirs(self) -> list[str]:
        """The attacker's half of the texts that the model was not trained on."""
        return self._others()[::2]

    def _ours(self) -> list[str]:
        """The judge's half."""
        return self._others()[1::2]

    def _others(self) -> list[str]:
        """In a random order; first those that are asked about in any case: their hidden states are
        remembered."""
        found = [text.text for text in self._texts() if not text.member]
        known = set(found)
        rest = [t.text for t in self._whole().texts if not t.member and t.text not in known]
        order = np.random.default_rng(self._seed + 3).permutation(len(rest))
        return found + [rest[number] for number in order]

    def _continued(self) -> list[Text]:
        return [text for text in self._texts(_CONTINUED) if len(text.text.split()) >= 4]

    def _extracted(self, attack: Attack) -> list[Any]:
        if attack.name == "canary-exposure":
            return [Secret(c.prefix, c.secret) for c in self._whole().canaries]
        halves = [_halved(text) for text in self._continued()]
        if attack.name == "discoverable-extraction":
            return [Continuation(*pair) for pair in halves]
        return [prefix for prefix, _ in halves]


def bias_truths(module: Any, seed: int, public: Mapping[str, Any]) -> dict[str, Truth]:
    """What ``LogitBias`` may find of a ``transformers`` model.

    An endpoint's own weights are never seen: there the public base stands for them, from which
    fine-tuning with adapters leaves size and final layer as they are.
    """
    words = spoken(Knowledge(Knows.NOTHING, public=public), seed)
    hidden = int(module.config.hidden_size)
    tokens = words.tokens[: layer_tokens(hidden)]
    layer = head_of(module, tokens) - head_of(module, [words.reference])
    return {
        "hidden_size": Truth(hidden, chance=1e-3),
        "final_layer": Truth(layer, within=LAYER_ERROR, up_to_map=True),
    }


def _halved(text: Text) -> tuple[str, str]:
    """First and second half by words; the space stands with the second."""
    words = text.text.split(" ")
    middle = len(words) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])
