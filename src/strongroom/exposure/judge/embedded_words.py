"""Words read out of embeddings: how many of those named are in the text?

Headline: the mean share of named words that the text holds, beside the null: naming of every text
the commonest words of the attacker's own texts that may be named. Texts are what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.attacks.language.embedded_words import GUESSES, telling_words, words_of
from strongroom.exposure.cell import Figure
from strongroom.exposure.interface import Claim, Floats, Texts
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.bootstrap import ROUNDS, bootstrap

LEAST = 20
_STEPS = (0.1, 0.25, 0.5)


class EmbeddedWordsJudge(Judge):
    """Holds the texts whose embeddings were given away.

    Args:
        texts: in the order of the embeddings.
        theirs: the attacker's own texts.
        seed: of the bootstrap.
    """

    def __init__(self, texts: Sequence[str], theirs: Sequence[str], *, seed: int = 0) -> None:
        self._texts = [words_of(text) for text in texts]
        self._common = telling_words(theirs)[:GUESSES]
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Texts)
        if len(self._texts) < LEAST:
            return not_measurable(f"Needs {LEAST} texts, there are {len(self._texts)}.")
        last = claims[-1]
        named = last.texts if isinstance(last, Texts) else ()
        right = self._shares(named)
        blind = self._shares([tuple(self._common)] * len(self._texts))
        chance = np.random.default_rng(self._seed)
        n, gain = len(right), right - blind
        drawn = [gain[chance.integers(0, n, n)].mean() for _ in range(ROUNDS)]
        p = (1 + sum(value <= 0 for value in drawn)) / (1 + ROUNDS)
        measured, null = bootstrap(right, seed=self._seed), bootstrap(blind, seed=self._seed)
        figure = Figure("words right", measured, null, float(p))
        return Verdict(
            status="measured",
            sentence=(
                f"Of {GUESSES} words read out of an embedding, {measured.value:.0%} are in the "
                f"text; of the commonest, {null.value:.0%}."
            ),
            figures=(figure,),
            severity=of_excess(figure, _STEPS),
        )

    def _shares(self, named: Sequence[tuple[str, ...]]) -> Floats:
        pairs = zip(named, self._texts, strict=True)
        return np.array([len(set(words) & text) / GUESSES for words, text in pairs])
