"""The hidden size and the final layer where an endpoint takes ``logit_bias``.

A bias lifts any few tokens above all others. Lifted by the same amount, their log-probabilities
differ as their logits do: four logits a query against a reference, where five are listed. Where
only an order is told, or only the likeliest token, whether a token stands above the reference at
another bias is one comparison, and halving an interval finds the logit to as many bits as were
asked. Enough prompts and tokens make a matrix of the rank of the hidden layer, as with logits.

1. Lift a few tokens and the reference over all that the model would say.
2. Read, or find by halving, each token's logit less the reference's.
3. Do so for ever more prompts and tokens, until the rank stands still below both: at one size where
   the rest is as small as exact numbers leave it, at two where they are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.lifting import (
    LIFT,
    REACH,
    Group,
    Seen,
    Spoken,
    asked,
    layer_tokens,
    spoken,
)
from strongroom.exposure.attacks.language.spectrum import row_space, spectrum
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Floats,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse

_GROWTH = 1.4

_AGREE = 0.95
"""Share of the rows that must give the same rank."""

_EXACT = 1e-4
"""Noise over the size of the entries up to which numbers are not rounded: one look is enough."""

_TOGETHER = 16
"""Prompts that are asked about at once."""


class LogitBias(Attack):
    """From the log-probabilities of tokens that were lifted together.

    Args:
        start: prompts before the first look; more by two fifths at each.
        top: how many tokens an answer lists.
    """

    name = "logit-bias"
    family = Family.REVERSE
    goal = (
        "Find the hidden size and the final layer through logit_bias, which this door refuses "
        "and other endpoints take (in process: such an endpoint)."
    )
    rungs: ClassVar[tuple[Rung, ...]] = (Rung.TOPK, Rung.LOGITS)
    quick: ClassVar[tuple[Rung, ...]] = (Rung.TOPK,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM10:2025")
    source = "Carlini et al. 2024, arXiv 2403.06634, sections 5 and 6"
    cost = "hidden size squared, over four, queries of one token; none where the door refuses"

    def __init__(self, start: int = 44, top: int = 5) -> None:
        self.start = start
        self.top = top

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``hidden_size``, and ``final_layer`` (tokens, hidden) less the reference's row.

        Nothing is claimed where the bias is refused, or does nothing.
        """
        words = spoken(knowledge, seed)
        seen = Seen(words, max(1, self.top - 1))
        most = min(self._affordable(budget.queries, seen.each), len(words.tokens))
        wanted = self.start
        if wanted > most:
            raise refuse("exposure.budget_spent", budget=budget.queries)
        claims: list[Claim] = []
        before = 0
        while True:
            try:
                honoured = self._grow(target, seen, wanted)
            except ExposureRefused as error:
                if error.code != "exposure.endpoint_refused":
                    raise
                return [Facts(target.spent().queries, {})]
            facts, before = self._facts(seen.matrix(), before) if honoured else ({}, 0)
            claims.append(Facts(target.spent().queries, facts))
            if facts or not honoured:
                return claims
            if wanted == most < len(words.tokens):
                raise refuse("exposure.budget_spent", budget=budget.queries)
            if wanted == most:
                return claims
            wanted = min(int(wanted * _GROWTH), most)

    def _affordable(self, queries: int, each: int) -> int:
        """The most prompts whose logits, of a few tokens less, can be asked for."""
        found = 0
        while (found + 1) * asked(found + 1, each) * self._queries_a_group() <= queries:
            found += 1
        return found

    def _grow(self, target: Any, seen: Seen, wanted: int) -> bool:
        """Ask for what a matrix of ``wanted`` prompts lacks; False if the bias does nothing."""
        seen.widen(wanted)
        rows = list(seen.missing())
        if seen.fresh and not self._read(target, seen.words, [rows[0][0].again()]):
            return False  # one answer tells whether the bias is taken
        seen.fresh = False
        for at in range(0, len(rows), _TOGETHER):
            groups = [group for row in rows[at : at + _TOGETHER] for group in row]
            if not self._read(target, seen.words, groups):
                return False
            for group in groups:
                group.row.update(group.middles())
        return True

    def _queries_a_group(self) -> int:
        return 1

    def _read(self, target: Any, words: Spoken, groups: Sequence[Group]) -> bool:
        """Find the logits of ``groups``; False if an answer names none of what was lifted."""
        biases = [dict.fromkeys((words.reference, *group.tokens), LIFT) for group in groups]
        answers = target.biased([group.prompt for group in groups], biases, top=self.top)
        for group, answer in zip(groups, answers, strict=True):
            said = dict(answer)
            first = said.get(words.texts[words.reference])
            for token in group.tokens:
                value = said.get(words.texts[token])
                if first is None or value is None:
                    return False
                group.low[token] = group.high[token] = value - first
        return True

    @staticmethod
    def _facts(matrix: Floats, before: int) -> tuple[dict[str, Any], int]:
        """What is certain, and the rank as it looks; ``before``: as it looked at the last size."""
        found = spectrum(matrix, _AGREE, _EXACT)
        if not found.found:
            found = spectrum(matrix, _AGREE)
            if not found.found or found.rank != before:
                return {}, found.rank
        layer = row_space(matrix, found.rank)[: layer_tokens(found.rank)]
        return {"hidden_size": found.rank, "final_layer": layer}, found.rank


class LogitBiasRankings(LogitBias):
    """From the order alone of tokens that were lifted by different amounts.

    Args:
        start: prompts before the first look; more by two fifths at each.
        top: how many tokens an answer lists, likeliest first, without a number.
        halvings: of an interval of 80; 14 leave an error of a seven hundredth.
    """

    name = "logit-bias-rankings"
    rungs = (Rung.TEXT, Rung.LOGITS)
    quick = (Rung.TEXT,)
    source = "Carlini et al. 2024, arXiv 2403.06634, section 6 (without log-probabilities)"
    cost = "fourteen times as many queries as with log-probabilities; none where the door refuses"

    def __init__(self, start: int = 44, top: int = 5, halvings: int = 14) -> None:
        super().__init__(start, top)
        self.halvings = halvings

    def _queries_a_group(self) -> int:
        return self.halvings

    def _read(self, target: Any, words: Spoken, groups: Sequence[Group]) -> bool:
        enough = 2 * REACH / 2**self.halvings
        for _ in range(self.halvings * (self.top + 1)):
            rest = [group for group in groups if group.wide(enough)]
            if not rest:
                break
            biases = [{words.reference: LIFT} | group.biases(enough) for group in rest]
            answers = target.biased([group.prompt for group in rest], biases, top=self.top)
            for group, answer in zip(rest, answers, strict=True):
                order = [text for text, _ in answer]
                asked = {words.texts[token] for token in (words.reference, *group.tokens)}
                if not asked & set(order):
                    return False
                group.halve(words, order, enough)
        return True
