"""Classifications: admission, disclosure and egress around a classifier engine. No I/O.

1. The sealed policy grants the tenant labels, and scores where they are asked for.
2. Type, shape and bytes are those of the model's input; every value lies in its range.
3. The whole answer is charged before anything is computed; if the budgets do not cover it, it is
   refused.
4. The logits become what the tenant's rung shows; they leave this function in no other form.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from strongroom.boundary.charging import label_charge
from strongroom.boundary.frames import MAX_ROWS, Classify, Labels, Rung
from strongroom.errors import RequestRefused
from strongroom.keeper.disclosure import Disclosure, class_scores, labels, shown_classes
from strongroom.keeper.engine.interface import ClassifierEngine
from strongroom.keeper.generations import Charge, exhausted

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("u1")}


class Classifications:
    """Answers ``Classify`` frames.

    Args:
        engine: the model.
        disclosure: the sealed policy's rungs.
        charge: how to charge a tenant.
    """

    def __init__(self, engine: ClassifierEngine, disclosure: Disclosure, charge: Charge) -> None:
        self._engine = engine
        self._disclosure = disclosure
        self._charge = charge

    def classify(self, ask: Classify) -> Labels:
        """Steps 1 to 4.

        Raises:
            RequestRefused: ``keeper.closed``, ``keeper.scores_not_granted``,
                ``keeper.input_mismatch``, ``keeper.input_out_of_range``,
                ``keeper.egress_exhausted`` or ``keeper.not_finite``.
        """
        rung = self._disclosure.require_label(ask.tenant, scores=ask.scores)  # (1)
        batch = self._batch(ask)  # (2)
        if not self._charge(ask.tenant, len(batch) * self._row_charge(rung, ask.scores)):  # (3)
            raise exhausted()
        logits = self._engine.classify(batch)
        chosen = labels(logits)
        if not ask.scores:
            return Labels(ask.id, chosen)
        scores, top = class_scores(rung, logits)  # (4)
        return Labels(ask.id, chosen, scores, top)

    def _row_charge(self, rung: Rung, scores: bool) -> int:
        classes = len(self._engine.labels)
        return label_charge(
            classes,
            shown_classes(rung, classes) if scores else 0,
            indexed=rung == "topk",
            rounded=rung == "top1",
        )

    def _batch(self, ask: Classify) -> np.ndarray[Any, np.dtype[Any]]:
        engine = self._engine
        dtype = _DTYPES[ask.dtype]
        fits = (
            ask.dtype == engine.input_dtype
            and ask.shape[1:] == engine.input_shape
            and ask.shape[0] <= min(engine.max_batch, MAX_ROWS)
            and len(ask.data) == prod(ask.shape) * dtype.itemsize
        )
        if not fits:
            raise RequestRefused(
                "keeper.input_mismatch",
                "The input is not a batch of this model's type, shape and size.",
                action=f"Send {engine.input_dtype} of shape {list(engine.input_shape)}, at most "
                f"{engine.max_batch} rows.",
            )
        batch = np.frombuffer(ask.data, dtype).reshape(ask.shape)
        low, high = engine.input_range
        if not (np.isfinite(batch).all() and low <= batch.min() and batch.max() <= high):
            raise RequestRefused(
                "keeper.input_out_of_range",
                "A value of the input is outside the model's range.",
                action=f"Send values from {low:g} to {high:g}.",
            )
        return batch
