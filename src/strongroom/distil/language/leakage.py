"""What a student tells of the texts and secrets that its teacher was trained on.

The attacker holds the student and knows how it was made: of the public corpus he makes the same
student without the teacher, and what the two think differently of a text is the teacher's doing.
Each attack on texts is judged as an audit judges it, blind baseline and null included. What is told
is the strongest of them, chosen with the truth in hand, so that the figure rather errs upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.distil import cells
from strongroom.distil.language.division import TextDivision
from strongroom.distil.leakage import RATE, rate
from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.asking import PublicBase
from strongroom.exposure.attacks.language.base_ratio import BaseRatio
from strongroom.exposure.attacks.language.canary_exposure import CanaryExposure
from strongroom.exposure.attacks.language.loss import TextLoss
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.attacks.language.min_k import MinK, MinKPlusPlus
from strongroom.exposure.attacks.language.questions import Secret
from strongroom.exposure.attacks.language.zlib_ratio import ZlibRatio
from strongroom.exposure.cell import Cell, Estimate
from strongroom.exposure.data import Canary
from strongroom.exposure.interface import Budget, Floats, Knowledge, Knows, Ranks, Scores
from strongroom.exposure.judge.blind import text_features
from strongroom.exposure.judge.extraction import CanaryJudge
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.measurement.low_fpr import needed
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language

ATTACKS: tuple[TextMembership, ...] = (
    TextLoss(), ZlibRatio(), MinK(), MinKPlusPlus(), BaseRatio(),
)  # fmt: skip

_PLENTY = Budget(2**62, 1e9)
_LOOKS, _DRAWS = 200, 256


@dataclass(frozen=True)
class Leak:
    """The strongest attack on texts. ``auc`` None: not measurable, and ``why``.

    ``tpr``: the largest at 1 % false positives, by ``tpr_attack``; None where there are fewer
    non-members than that takes. ``alone``: the largest area through the student that the teacher
    told nothing, where there is nothing to find.
    """

    cell: Cell
    auc: Estimate | None
    tpr: float | None
    tpr_attack: str
    alone: float | None
    why: str


@dataclass(frozen=True)
class Exposed:
    """Bits of exposure of each planted secret; None: they could not be ranked, and ``why``."""

    cell: Cell | None
    bits: tuple[float, ...] | None
    exact: int
    why: str


def through(
    student: LanguageModel, untaught: LanguageModel, division: TextDivision, seed: int
) -> Leak:
    """The strongest attack on ``student``; see the module.

    Args:
        student: what is to be released.
        untaught: the same without the teacher; its tokens are the student's.
        division: the texts asked about.
        seed: of nulls and halvings.

    Raises:
        ExposureRefused: ``exposure.data_unfit``: a text is shorter than two tokens.
    """
    texts = [*division.members, *division.others]
    bits = np.arange(len(texts)) < len(division.members)
    judge = MembershipJudge(bits, text_features(texts), seed=seed)
    asked = [_within(student, text) for text in texts]
    found = {each.name: _judged(each, judge, student, untaught, asked, seed) for each in ATTACKS}
    worst = max(found, key=lambda name: _area(found[name][1]))
    verdict = found[worst][1]
    cell = cells.of_texts(worst, len(ATTACKS), verdict, seed)
    if verdict.status != "measured":
        return Leak(cell, None, None, "", None, verdict.why)
    rates = {name: rate(scores[bits], scores[~bits]) for name, (scores, _) in found.items()}
    known = {name: value for name, value in rates.items() if value is not None}
    tpr_attack = max(known, key=lambda name: known[name], default="")
    alone = max(
        _area(_judged(each, judge, untaught, untaught, asked, seed)[1])
        for each in ATTACKS
        if not isinstance(each, BaseRatio)
    )
    few = f"needs {needed(RATE):,} non-members, there are {len(division.others):,}"
    return Leak(cell, verdict.figures[0].measured, known.get(tpr_attack), tpr_attack, alone, few)


def exposed(student: LanguageModel, canaries: Sequence[Canary], seed: int) -> Exposed:
    """How likely each secret that was planted in the teacher is to the student.

    Args:
        student: what is to be released.
        canaries: those planted, and those with no copies, which are the null.
        seed: of secrets drawn at random.
    """
    planted = np.array([canary.copies > 0 for canary in canaries], dtype=bool)
    if not planted.any():
        why = "no canary was planted: it takes some before the teacher is trained"
        return Exposed(None, None, 0, why)
    asked = [Secret(canary.prefix, canary.secret) for canary in canaries]
    known = Knowledge(Knows.NOTHING, asked, public={"tokenizer": student.tokenizer})
    attack, target = CanaryExposure(_LOOKS, _DRAWS), open_language(student, Rung.LOGITS, _PLENTY)
    try:
        claims = attack.run(target, known, _PLENTY, seed)
    except ExposureRefused as error:
        return Exposed(None, None, 0, error.message)
    verdict = CanaryJudge([canary.copies for canary in canaries], seed=seed).judge(claims)
    (ranks,) = (claim for claim in claims if isinstance(claim, Ranks))
    bits = math.log2(ranks.space) - np.log2(ranks.ranks[planted] + 1.0)
    exact = int(np.asarray(ranks.exact)[planted].sum())
    return Exposed(cells.of_canaries(verdict, seed), tuple(bits.tolist()), exact, "")


def _judged(
    attack: TextMembership,
    judge: MembershipJudge,
    student: LanguageModel,
    untaught: LanguageModel,
    texts: Sequence[str],
    seed: int,
) -> tuple[Floats, Verdict]:
    """An attack's scores and what a judge makes of them."""
    known = Knowledge(
        attack.knowledge[0],
        texts,
        base=PublicBase(untaught.module),
        public={"tokenizer": student.tokenizer},
    )
    target = open_language(student, Rung.LOGITS, _PLENTY)
    claims = attack.run(target, known, _PLENTY, seed)
    (scores,) = (claim.scores for claim in claims if isinstance(claim, Scores))
    return scores, judge.judge(claims)


def _area(verdict: Verdict) -> float:
    return verdict.figures[0].measured.value if verdict.figures else 0.0


def _within(model: LanguageModel, text: str) -> str:
    """As much of the text as the model's context holds."""
    ends = [end for _, end in model.tokenizer.encode(text, add_special_tokens=False).offsets]
    return text if len(ends) <= model.context_length else text[: ends[model.context_length - 1]]
