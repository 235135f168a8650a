"""What a rung lets an attacker see of a classifier, as probabilities, and the same of his own
models.

An attacker who calibrates with reference models must look at them through the same pane as at the
target: as many classes, as many decimals. ``observe`` finds out which pane it is from the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from strongroom.exposure.interface import Floats, Knowledge
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.interface import (
    GradientsTarget,
    LabelTarget,
    LogitsTarget,
    TopTarget,
    WeightsTarget,
)

from .likelihood import scaled
from .recipe import logits_of

_FULL_PRECISION = 7
"""Decimals of a float32 probability: as good as not rounded."""


@dataclass(frozen=True, slots=True)
class Public:
    """What everybody knows of a classifier."""

    classes: int
    shape: tuple[int, ...]
    bounds: tuple[float, float]


def public(knowledge: Knowledge) -> Public:
    """The public facts in ``knowledge``.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``.
    """
    facts = knowledge.public
    missing = {"labels", "input_shape", "input_range"} - set(facts)
    if missing:
        what = f"the classifier's {', '.join(sorted(missing))}"
        raise refuse("exposure.knowledge_lacking", what=what)
    low, high = facts["input_range"]
    return Public(len(facts["labels"]), tuple(facts["input_shape"]), (float(low), float(high)))


@dataclass(frozen=True, slots=True)
class View:
    """A pane: ``label``, the ``k`` likeliest probabilities to so many decimals, or ``logits``."""

    kind: Literal["label", "top", "logits"]
    k: int = 0
    decimals: int = _FULL_PRECISION

    def probabilities(self, logits: Tensor) -> Tensor:
        """What is seen of ``logits`` (..., classes); mass not shown is spread over the rest."""
        if self.kind == "label":
            classes = logits.shape[-1]
            return torch.nn.functional.one_hot(logits.argmax(-1), classes).to(logits.dtype)
        found = logits.softmax(-1)
        if self.kind == "logits":
            return found
        shown, order = found.topk(min(self.k, logits.shape[-1]), dim=-1)
        return spread(order, shown.round(decimals=self.decimals), logits.shape[-1])

    def confidence(self, seen: Tensor, labels: Tensor) -> Tensor:
        """log(p / (1 - p)) of the right class, from ``probabilities`` or, for logits, logits."""
        if self.kind == "logits":
            return scaled(seen, labels)
        own = seen.gather(-1, labels.expand(seen.shape[:-1])[..., None])[..., 0]
        return torch.logit(own, eps=0.5 * 10.0**-self.decimals)

    def of(self, logits: Tensor) -> Tensor:
        """What ``confidence`` takes, of the attacker's own models."""
        return logits if self.kind == "logits" else self.probabilities(logits)


def observe(target: Any, inputs: Floats, classes: int) -> tuple[Tensor, View]:
    """The target's answers (rows, classes), logits if it shows them, probabilities if not."""
    if isinstance(target, WeightsTarget):
        return logits_of(target.model(), torch.from_numpy(inputs)), View("logits")
    if isinstance(target, LogitsTarget | GradientsTarget):
        return torch.from_numpy(np.ascontiguousarray(target.logits(inputs))).float(), View("logits")
    if isinstance(target, TopTarget):
        order, shown = target.top(inputs)
        view = View("top", order.shape[1], _decimals(shown))
        seen = spread(torch.from_numpy(order).long(), torch.from_numpy(shown).float(), classes)
        return seen, view
    if isinstance(target, LabelTarget):
        found = torch.from_numpy(target.labels(inputs)).long()
        return torch.nn.functional.one_hot(found, classes).float(), View("label")
    raise refuse("exposure.knowledge_lacking", what="a classifier that can be asked")


def soft_answers(target: Any, inputs: Floats, classes: int) -> Tensor:
    """The target's answers as distributions (rows, classes)."""
    seen, view = observe(target, inputs, classes)
    return seen.softmax(1) if view.kind == "logits" else seen


def spread(order: Tensor, shown: Tensor, classes: int) -> Tensor:
    """Probabilities (..., classes) of which the likeliest (..., k) are shown."""
    left = (1 - shown.sum(-1, keepdim=True)).clamp_min(0)
    rest = left / max(1, classes - shown.shape[-1])
    return rest.expand(*shown.shape[:-1], classes).scatter(-1, order, shown)


def _decimals(shown: Floats) -> int:
    for decimals in range(1, _FULL_PRECISION):
        if np.abs(shown - np.round(shown, decimals)).max(initial=0) < 1e-7:
            return decimals
    return _FULL_PRECISION
