"""A language model behind somebody's OpenAI-compatible door: nothing of it is seen but answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.exposure.data import Corpus
from strongroom.exposure.interface import Attack, Budget, Family, Knowledge, Knows
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.interface import Opener, Scale
from strongroom.exposure.subjects.texts import TextSubject


class EndpointSubject(TextSubject):
    """See the module.

    Args:
        url: of the endpoint, as a report names it.
        corpus: texts and canaries; None measures only what needs none.
        base: the public base, as a transformers module, or None.
        tokenizer: the public base's, a ``tokenizers`` one, or None.
        scale: how much of everything.
        served: how the endpoint is reached, by rung.
        seed: of choices.
    """

    def __init__(
        self,
        url: str,
        corpus: Corpus | None,
        base: Any,
        tokenizer: Any,
        scale: Scale,
        served: Mapping[Rung, Opener],
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(corpus, base, tokenizer, scale, served, seed)
        self.rungs = tuple(served)
        self._url = url

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """Nothing: an endpoint shows answers alone."""
        raise refuse("exposure.unknown_rung", name=f"{rung} at an endpoint", known="text, topk")

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base; refused where nobody could judge, so that nothing is asked for nothing."""
        if attack.family is Family.CLONING:
            what = "what the model says of each place of a text, which no endpoint shows"
            raise refuse("exposure.knowledge_lacking", what=what)
        return super().knowledge(attack, level, seed)

    def facts(self) -> dict[str, str]:
        """See the base."""
        return {"endpoint": self._url, "weights": "never seen"} | super().facts()
