"""What membership attacks compute from confidences: pure functions, records in, scores out.

Confidences are (models, rows) for references and (rows,) for the target; ``members`` (models,
rows), bool, says which reference saw which record. A higher score means "more likely a member".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PER_RECORD_FROM = 64
"""With fewer references a variance per record is noisier than one for all (Carlini et al. 2022)."""


def scaled(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of the right class: (..., rows, classes) and (rows,) to (..., rows).

    LiRA's stable form: the right logit minus the log-sum-exp of the others. About normal over
    models, which the probability itself is not.
    """
    index = labels.expand(logits.shape[:-1])[..., None]
    own = logits.gather(-1, index)[..., 0]
    others = logits.scatter(-1, index, -torch.inf).logsumexp(-1)
    odds: Tensor = own - others
    return odds


def lira_online(target: Tensor, references: Tensor, members: Tensor) -> Tensor:
    """Log-likelihood ratio of in against out, two normals (Carlini et al. 2022, algorithm 1)."""
    inside, spread_in = _normal(references, members)
    outside, spread_out = _normal(references, ~members)
    return _log_density(target, inside, spread_in) - _log_density(target, outside, spread_out)


def lira_offline(target: Tensor, references: Tensor, members: Tensor) -> Tensor:
    """How far above the models that never saw it: the one-sided test, as log-odds of its size."""
    outside, spread = _normal(references, ~members)
    away = (target - outside) / spread
    odds: Tensor = torch.special.log_ndtr(away) - torch.special.log_ndtr(-away)
    return odds


def rmia(
    target: Tensor,
    references: Tensor,
    members: Tensor,
    *,
    online: bool = True,
    gamma: float = 1.0,
    offset: float = 0.3,
) -> Tensor:
    """Share of the population that a record beats (Zarifzadeh et al. 2024, arXiv 2312.03262).

    The confidence under the target is divided by its mean over references; a record beats another
    if its ratio is ``gamma`` times larger. The candidates are each other's population.

    Args:
        target: probability of the right class, (rows,).
        references: the same under each reference, (models, rows).
        members: which reference saw which record, (models, rows), bool.
        online: whether references that saw the record count; otherwise their part is estimated
            from the others as ((1 + offset) * out + 1 - offset) / 2.
        gamma: how clearly a record must beat another.
        offset: the paper's ``a``.
    """
    outside = _mean(references, ~members)
    if online:
        average = (_mean(references, members) + outside) / 2
    else:
        average = ((1 + offset) * outside + (1 - offset)) / 2
    ratio = target.clamp_min(1e-30).log() - average.clamp_min(1e-30).log()
    ranked = ratio.sort().values
    beaten = torch.searchsorted(ranked, ratio - math.log(gamma), right=False)
    return beaten / len(ratio)


def difficulty(target: Tensor, references: Tensor, members: Tensor) -> Tensor:
    """The confidence minus its mean over models that never saw the record (Watson et al. 2022)."""
    return target - _mean(references, ~members)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Over the models marked; over all models for records that none marks."""
    count = where.sum(0)
    some = (values * where).sum(0) / count.clamp_min(1)
    return torch.where(count > 0, some, values.mean(0))


def _normal(values: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    centre = _mean(values, where)
    squares = (values - centre).square()
    count = where.sum(0)
    if int(count.min()) >= PER_RECORD_FROM // 2:
        spread = ((squares * where).sum(0) / (count - 1)).sqrt()
    else:
        degrees = max(1, int(where.sum() - (count > 0).sum()))
        spread = ((squares * where).sum() / degrees).sqrt().expand_as(centre)
    return centre, spread.clamp_min(1e-6)


def _log_density(value: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    return -((value - centre) / spread).square() / 2 - spread.log()
