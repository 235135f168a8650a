"""Closed targets over a classifier in this process, one maker a rung.

Used where a rung is not served (embeddings, gradients, weights), for rungs that the sealed policy
does not grant, and for controls. Inputs are checked as the door checks them, answers are copies
without gradients, rows are counted and the budget is enforced before the model is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from strongroom.exposure.interface import Budget, Floats, Integers
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import Classifier
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter

TOP_CLASSES = 5
"""What ``topk`` shows of a classifier at the served door."""


def open_classifier(
    model: Classifier, rung: Rung, budget: Budget, *, student: nn.Module | None = None
) -> Any:
    """The target of ``rung``: an object of the protocol of that rung in ``interface``.

    Raises:
        ExposureRefused: ``exposure.unknown_rung`` for one that no classifier has;
            ``exposure.knowledge_lacking`` for ``student`` without one.
    """
    meter = Meter(budget.queries)
    answer = _Answering(model, meter)
    questions: dict[str, Callable[..., Any]] = {"spent": meter.spent}
    match rung:
        case Rung.CLOSED:
            pass
        case Rung.LABEL:
            questions["labels"] = answer.labels
        case Rung.TOP1:
            questions["top"] = answer.top1
        case Rung.TOPK:
            questions["top"] = answer.topk
        case Rung.LOGITS:
            questions["logits"] = answer.logits
        case Rung.EMBEDDINGS:
            questions["embeddings"] = answer.embeddings
        case Rung.GRADIENTS:
            questions["logits"] = answer.logits
            questions["input_gradients"] = answer.input_gradients
            questions["parameter_gradients"] = answer.parameter_gradients
        case Rung.WEIGHTS:
            questions["model"] = lambda: copy.deepcopy(model.module).requires_grad_(True)
        case Rung.STUDENT if student is not None:
            questions["student"] = lambda: copy.deepcopy(student).requires_grad_(True)
        case Rung.STUDENT:
            raise refuse("exposure.knowledge_lacking", what="a student of the model")
        case _:
            known = ", ".join(r for r in Rung if r not in {Rung.TEXT, Rung.ADAPTER})
            raise refuse("exposure.unknown_rung", name=f"{rung} for a classifier", known=known)
    return close(questions)


class _Answering:
    """Answers of every rung; only closures of single methods leave this file."""

    def __init__(self, model: Classifier, meter: Meter) -> None:
        self._model = model
        self._meter = meter

    def _ask(self, inputs: Floats) -> torch.Tensor:
        rows = checked(inputs, self._model)
        self._meter.charge(len(rows))
        return torch.from_numpy(rows)

    def _logits(self, inputs: Floats) -> Floats:
        found = self._model.logits(self._ask(inputs).numpy())
        self._meter.answered()
        return found

    def labels(self, inputs: Floats) -> Integers:
        found: Integers = self._logits(inputs).argmax(1).astype(np.int64)
        return found

    def top1(self, inputs: Floats) -> tuple[Integers, Floats]:
        classes, values = self._best(inputs, 1)
        return classes, values.round(2)

    def topk(self, inputs: Floats) -> tuple[Integers, Floats]:
        return self._best(inputs, TOP_CLASSES)

    def _best(self, inputs: Floats, count: int) -> tuple[Integers, Floats]:
        logits = torch.from_numpy(self._logits(inputs))
        best = torch.softmax(logits, 1).topk(min(count, logits.shape[1]), dim=1)
        return best.indices.numpy().copy(), best.values.numpy().copy()

    def logits(self, inputs: Floats) -> Floats:
        return self._logits(inputs).copy()

    @torch.no_grad()
    def embeddings(self, inputs: Floats) -> Floats:
        rows = self._ask(inputs)
        for layer in list(self._model.module.children())[:-1]:
            rows = layer(rows)
        self._meter.answered()
        found: Floats = rows.flatten(1).numpy().copy()
        return found

    def input_gradients(self, inputs: Floats, labels: Integers) -> Floats:
        rows = self._ask(inputs).clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(
            self._model.module(rows), torch.from_numpy(labels), reduction="sum"
        )
        (gradient,) = torch.autograd.grad(loss, rows)
        self._meter.answered()
        return gradient.numpy().copy()

    def parameter_gradients(self, inputs: Floats, labels: Integers) -> Floats:
        rows = self._ask(inputs)
        wanted = {name: values.detach() for name, values in self._model.module.named_parameters()}
        module = self._model.module

        def loss(weights: dict[str, torch.Tensor], row: torch.Tensor, label: torch.Tensor) -> Any:
            logits = torch.func.functional_call(module, weights, (row[None],))
            return nn.functional.cross_entropy(logits, label[None])

        of_rows = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0), chunk_size=64)
        gradients = of_rows(wanted, rows, torch.from_numpy(labels))
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()], dim=1)
        self._meter.answered()
        return norms.numpy().copy()


def checked(inputs: Floats, model: Classifier) -> Floats:
    """``inputs`` as contiguous float32 copies, if they are what the model takes.

    Raises:
        ExposureRefused: ``exposure.input_unfit``.
    """
    rows = np.array(inputs, dtype=np.float32, order="C")
    low, high = model.input_range
    if rows.shape[1:] != model.input_shape or not len(rows):
        raise refuse(
            "exposure.input_unfit",
            why=f"its shape is {list(rows.shape)}, the model takes [rows, "
            f"{', '.join(map(str, model.input_shape))}]",
        )
    if not (np.isfinite(rows).all() and rows.min() >= low and rows.max() <= high):
        raise refuse("exposure.input_unfit", why=f"a value is outside {low:g} to {high:g}")
    return rows
