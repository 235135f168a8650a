"""The rung a tenant holds, and what an answer looks like on it. The keeper's own enforcement.

The rungs come from the policy sealed with the model, not from the gateway. What is not granted is
withheld, not blurred; the one rounding is that of ``top1``, whose probability has two decimals.

The gateway says which tenant asks, and the keeper cannot know better: a gateway that lies can get
what the most favoured tenant may have, and no more. Names that the policy does not know get the
rung of ``*``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch

from strongroom.boundary.frames import MAX_TOP_LOGPROBS, Rung, TokenScores
from strongroom.errors import RequestRefused

LADDER: Final[tuple[Rung, ...]] = (
    "closed",
    "label",
    "text",
    "top1",
    "topk",
    "logits",
    "embeddings",
)
TOP_CLASSES = 5
"""Classes whose probabilities ``topk`` gives."""

EMBEDDED_MOST = 127
"""Largest number of an embedding, and the smallest is its negative."""

UNLIKELY = -9999.0
"""Log-probability of what rounds to zero."""


def at_least(rung: Rung, wanted: Rung) -> bool:
    """Whether ``rung`` grants what ``wanted`` names."""
    return LADDER.index(rung) >= LADDER.index(wanted)


class Disclosure:
    """Who may have what. ``rungs`` maps tenants to rungs, ``*`` being everybody else."""

    def __init__(self, rungs: Mapping[str, Rung]) -> None:
        self._rungs = dict(rungs)

    def rung(self, tenant: str) -> Rung:
        """The rung of ``tenant``: its own, else that of ``*``, else ``closed``."""
        return self._rungs.get(tenant, self._rungs.get("*", "closed"))

    def require_text(self, tenant: str, top_logprobs: int) -> Rung:
        """The tenant's rung, if it grants text with so many log-probabilities a token.

        Raises:
            RequestRefused: ``keeper.closed`` or ``keeper.logprobs_not_granted``.
        """
        rung = self._require(tenant, "text")
        granted = MAX_TOP_LOGPROBS if at_least(rung, "topk") else int(rung == "top1")
        if top_logprobs > granted:
            raise RequestRefused(
                "keeper.logprobs_not_granted",
                f"The sealed policy grants {granted} log-probabilities a token, "
                f"{top_logprobs} were asked for.",
                action="Ask for fewer, or let the model's owner seal another policy.",
            )
        return rung

    def require_label(self, tenant: str, *, scores: bool) -> Rung:
        """The tenant's rung, if it grants labels, and scores where they are asked for.

        Raises:
            RequestRefused: ``keeper.closed`` or ``keeper.scores_not_granted``.
        """
        rung = self._require(tenant, "label")
        if scores and not at_least(rung, "top1"):
            raise RequestRefused(
                "keeper.scores_not_granted",
                "The sealed policy grants labels without scores.",
                action="Ask without scores, or let the model's owner seal another policy.",
            )
        return rung

    def require_embeddings(self, tenant: str) -> None:
        """Refuse unless the tenant's rung grants embeddings.

        Raises:
            RequestRefused: ``keeper.embeddings_not_granted``.
        """
        if not at_least(self.rung(tenant), "embeddings"):
            raise RequestRefused(
                "keeper.embeddings_not_granted",
                "The sealed policy grants no embeddings.",
                action="Ask for text, or let the model's owner seal another policy.",
            )

    def _require(self, tenant: str, wanted: Rung) -> Rung:
        rung = self.rung(tenant)
        if not at_least(rung, wanted):
            raise RequestRefused(
                "keeper.closed",
                f"The sealed policy gives this tenant the rung {rung}, not {wanted}.",
                action="Use another tenant, or let the model's owner seal another policy.",
            )
        return rung


def token_scores(rung: Rung, ids: Sequence[int], logprobs: Sequence[float]) -> TokenScores:
    """The scores of one position as ``rung`` shows them."""
    if not at_least(rung, "topk"):
        logprobs = [_rounded(value) for value in logprobs]
    return TokenScores(tuple(ids), tuple(max(UNLIKELY, _finite(value)) for value in logprobs))


def class_scores(
    rung: Rung, logits: torch.Tensor
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[int, ...], ...]]:
    """Scores and class indices of ``Labels`` as ``rung`` shows them, from logits (rows, classes).

    Raises:
        RequestRefused: ``keeper.not_finite``.
    """
    if at_least(rung, "logits"):
        return _rows(logits), ()
    probabilities = torch.softmax(logits.to(torch.float32), dim=1)
    if rung == "top1":
        return tuple((round(p, 2),) for p in probabilities.amax(dim=1).tolist()), ()
    best = torch.topk(probabilities, shown_classes(rung, logits.shape[1]), dim=1)
    return _rows(best.values), tuple(tuple(row) for row in best.indices.tolist())


def shown_classes(rung: Rung, classes: int) -> int:
    """Scores of one row that ``rung`` shows."""
    if at_least(rung, "logits"):
        return classes
    return min(TOP_CLASSES, classes) if rung == "topk" else 1


def labels(logits: torch.Tensor) -> tuple[int, ...]:
    """The likeliest class of each row of logits (rows, classes).

    Raises:
        RequestRefused: ``keeper.not_finite``.
    """
    if not bool(torch.isfinite(logits).all()):
        raise _not_finite()
    return tuple(logits.argmax(dim=1).tolist())


def embedded(pooled: torch.Tensor) -> bytes:
    """A mean hidden state (width,) as it leaves: its direction, in steps of 1/127 of its largest.

    Raises:
        RequestRefused: ``keeper.not_finite``.
    """
    largest = float(pooled.abs().amax())
    if not 0 < largest < math.inf or not bool(torch.isfinite(pooled).all()):
        raise _not_finite()
    steps = (pooled / largest * EMBEDDED_MOST).round().to(torch.int8)
    return steps.numpy().tobytes()


def _rows(values: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.to(torch.float32).clamp(-1e6, 1e6).tolist())


def _rounded(logprob: float) -> float:
    probability = round(math.exp(min(0.0, _finite(logprob))), 2)
    return math.log(probability) if probability else UNLIKELY


def _finite(value: float) -> float:
    if math.isnan(value) or value == math.inf:
        raise _not_finite()
    return value


def _not_finite() -> RequestRefused:
    return RequestRefused(
        "keeper.not_finite",
        "The model gave an answer that is not a number.",
        action="Send another input; if it happens again the model itself is broken.",
    )
