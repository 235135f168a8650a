"""How likely does the model find a planted secret, among all that it could have been?

Memorised secrets are ranked exactly (``digit_tree``). For the others, ``draws`` secrets drawn at
random are scored: the share that the model likes better is the share of all, and the claim says
that it is an estimate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.asking import batched
from strongroom.exposure.attacks.language.digit_tree import Look, rank
from strongroom.exposure.attacks.language.questions import Secret
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Floats,
    Knowledge,
    Knows,
    Ranks,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse, stops

_DIGITS = "0123456789"


class CanaryExposure(Attack):
    """Exact ranks of memorised secrets of digits.

    Args:
        looks: most prefixes to open for one secret.
        draws: secrets to draw at random where that is not enough (rung ``logits`` only).
    """

    name = "canary-exposure"
    family = Family.EXTRACTION
    goal = "Find planted secrets among all that they could be."
    rungs = (Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0057", "OWASP-LLM:LLM02:2025")
    source = "Carlini et al. 2019, arXiv 1802.08232; branch and bound is our own"
    cost = (
        "1 to 15 queries a memorised secret where logits are shown, 6 to 20 where a list is; at "
        "most looks + draws for any other"
    )

    def __init__(self, looks: int = 20, draws: int = 32) -> None:
        self.looks = looks
        self.draws = draws

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Rank every ``Secret`` asked about; all of one length."""
        secrets: list[Secret] = list(knowledge.asked)
        lengths = {len(secret.digits) for secret in secrets}
        if len(lengths) != 1:
            raise refuse("exposure.data_unfit", why="secrets differ in length, or there is none")
        space, by = 10 ** lengths.pop(), random.Random(seed)  # noqa: S311
        found: list[tuple[float, bool]] = []
        for secret in secrets:
            try:
                found.append(self._one(target, knowledge, secret, space, by))
            except ExposureRefused as error:
                if not found or not stops(error):
                    raise
                break
        found += [((space - 1) / 2, False)] * (len(secrets) - len(found))  # those are guessed
        ranks = np.array([place for place, _ in found])
        return [Ranks(target.spent().queries, ranks, space, tuple(exact for _, exact in found))]

    def _one(
        self, target: Any, knowledge: Knowledge, secret: Secret, space: int, by: random.Random
    ) -> tuple[float, bool]:
        if hasattr(target, "next_logits"):
            return self._by_logits(target, knowledge, secret, space, by)
        return self._by_list(target, secret, space)

    def _by_logits(
        self, target: Any, knowledge: Knowledge, secret: Secret, space: int, by: random.Random
    ) -> tuple[float, bool]:
        ids = _Numbers(knowledge.public["tokenizer"], secret.prefix)
        known = ids.along(target.all_logits, secret.digits)
        found = rank(_remembering(ids.look(target.next_logits), known), secret.digits, self.looks)
        if found.exact:
            return float(found.rank), True
        drawn = [f"{by.randrange(space):0{len(secret.digits)}d}" for _ in range(self.draws)]
        said = batched(target.token_logprobs, [ids.row(digits) for digits in drawn])
        totals = np.array([float(each[-len(secret.digits) :].sum()) for each in said])
        share = (float((totals > found.logprob).sum()) + 0.5) / (self.draws + 1)
        return max(float(found.rank), share * space), False

    def _by_list(self, target: Any, secret: Secret, space: int) -> tuple[float, bool]:
        listed = _remembering(lambda digits: _listed(target, secret.prefix + digits))
        found = rank(_bounded(listed, secret.digits), secret.digits, self.looks)
        if found.exact and found.rank == 0:
            return 0.0, True
        return _from_lists(listed, secret.digits, space), False


class _Numbers:
    """Rows of tokens for digits after a prefix; each digit must be one token."""

    def __init__(self, tokenizer: Any, prefix: str) -> None:
        self._prefix = list(tokenizer.encode(prefix, add_special_tokens=False).ids)
        self._digits = [tokenizer.token_to_id(digit) for digit in _DIGITS]
        whole = tokenizer.encode(prefix + _DIGITS, add_special_tokens=False).ids
        if None in self._digits or list(whole) != self._prefix + self._digits:
            raise refuse("exposure.data_unfit", why="the tokenizer does not cut numbers by digits")

    def row(self, digits: str) -> list[int]:
        return [*self._prefix, *(self._digits[int(digit)] for digit in digits)]

    def along(self, all_logits: Callable[[list[int]], Floats], secret: str) -> dict[str, Floats]:
        """What follows each beginning of ``secret``, from one question."""
        said = all_logits(self.row(secret[:-1]))[-len(secret) :]
        return {secret[:at]: self._chances(logits) for at, logits in enumerate(said)}

    def look(self, next_logits: Callable[[list[list[int]]], Floats]) -> Look:
        def chances(digits: str) -> Floats:
            return self._chances(next_logits([self.row(digits)])[0])

        return chances

    def _chances(self, logits: Floats) -> Floats:
        """Log-probabilities of the ten digits."""
        exact = logits.astype(np.float64)
        top = exact.max()
        return np.asarray(exact[self._digits] - top - np.log(np.exp(exact - top).sum()))


def _remembering(look: Look, known: dict[str, Floats] | None = None) -> Look:
    known = {} if known is None else known

    def once(digits: str) -> Floats:
        if digits not in known:
            known[digits] = look(digits)
        return known[digits]

    return once


def _listed(target: Any, prompt: str) -> Floats:
    """Log-probabilities (11,): of ten digits, -inf where not listed, and the least listed."""
    chances = np.full(11, -np.inf)
    (said,) = target.complete_scored([prompt], max_tokens=1, top=5)
    listed = said.top[0] if said.top else ()
    for text, value in listed:
        if len(text) == 1 and text in _DIGITS:
            chances[int(text)] = value
    chances[10] = min((value for _, value in listed), default=0.0)
    return chances


def _bounded(listed: Look, secret: str) -> Look:
    """Digits that are not listed are at most as likely as the least listed; not the secret's."""

    def look(digits: str) -> Floats:
        chances = listed(digits)
        filled = np.where(np.isfinite(chances[:10]), chances[:10], chances[10])
        if secret.startswith(digits):
            own = int(secret[len(digits)])
            filled[own] = chances[own]
        return filled

    return look


def _from_lists(listed: Look, secret: str, space: int) -> float:
    """The secrets before this one if, at each place, all below a likelier digit came first.

    A digit that is not listed is put in the middle of those that are not.
    """
    before = 0.0
    for at, digit in enumerate(secret):
        chances = listed(secret[:at])[:10]
        ahead = float((chances > chances[int(digit)]).sum())
        if not np.isfinite(chances[int(digit)]):
            ahead += (9 - ahead) / 2
        before += ahead * 10 ** (len(secret) - at - 1)
    return min(before, space - 1.0)
