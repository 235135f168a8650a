"""A classifier behind the served door: the Open Inference Protocol, as a customer speaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from strongroom.exposure.interface import Budget, Floats, Integers
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.http import Door
from strongroom.exposure.targets.metering import Meter

_NUMBERS = 40_000
"""Numbers in one request, so that a body stays below the door's 1 MiB."""

_ROWS = 64


def open_served_classifier(
    url: str, key: str, name: str, labels: Sequence[str], rung: Rung, budget: Budget
) -> Any:
    """The target of ``rung``, over HTTP.

    Args:
        url: of the door, without a path.
        key: an API key of an organisation that the policy grants ``rung``.
        name: of the model.
        labels: names of the classes, in the model's order; public.
        rung: label, top1, topk or logits.
        budget: queries and seconds.

    Raises:
        ExposureRefused: ``exposure.unknown_rung``.
    """
    meter = Meter(budget.queries, budget.seconds)
    asking = _Asking(Door(url, key, meter), name, labels, meter)
    questions: dict[str, Callable[..., Any]] = {"spent": meter.spent}
    match rung:
        case Rung.LABEL:
            questions["labels"] = asking.labels
        case Rung.TOP1 | Rung.TOPK:
            questions["top"] = asking.top
        case Rung.LOGITS:
            questions["logits"] = asking.logits
        case _:
            raise refuse(
                "exposure.unknown_rung",
                name=f"{rung} at a classifier's door",
                known="label, top1, topk, logits",
            )
    return close(questions)


class _Asking:
    def __init__(self, door: Door, name: str, labels: Sequence[str], meter: Meter) -> None:
        self._door = door
        self._path = f"/v2/models/{name}/infer"
        self._number = {label: index for index, label in enumerate(labels)}
        self._meter = meter

    def labels(self, inputs: Floats) -> Integers:
        return np.concatenate([self._classes(a, "label") for a in self._ask(inputs, False)])

    def top(self, inputs: Floats) -> tuple[Integers, Floats]:
        answers = self._ask(inputs, True)
        chances = np.concatenate([_scores(answer) for answer in answers])
        name = "classes" if chances.shape[1] > 1 else "label"
        classes = np.concatenate([self._classes(answer, name) for answer in answers])
        return classes.reshape(chances.shape), chances

    def logits(self, inputs: Floats) -> Floats:
        return np.concatenate([_scores(answer) for answer in self._ask(inputs, True)])

    def _ask(self, inputs: Floats, scores: bool) -> list[dict[str, Any]]:
        rows = np.asarray(inputs, dtype=np.float32)
        each = max(1, min(_ROWS, _NUMBERS // max(1, rows[0].size)))
        outputs = [{"name": "label"}, *([{"name": "scores"}] if scores else [])]
        answers = []
        for start in range(0, len(rows), each):
            part = rows[start : start + each]
            self._meter.charge(len(part))
            tensor = {
                "name": "input",
                "shape": list(part.shape),
                "datatype": "FP32",
                "data": [float(v) for v in part.ravel()],
            }
            said = self._door.post(self._path, {"inputs": [tensor], "outputs": outputs})
            self._meter.answered()
            answers.append({output["name"]: output for output in said.get("outputs", [])})
        return answers

    def _classes(self, answer: dict[str, Any], name: str) -> Integers:
        try:
            found = [self._number[label] for label in answer[name]["data"]]
        except KeyError as error:
            raise refuse("exposure.endpoint_failed", why=f"{error} is not answered") from None
        return np.array(found, dtype=np.int64)


def _scores(answer: dict[str, Any]) -> Floats:
    if "scores" not in answer:
        raise refuse("exposure.endpoint_failed", why="scores are not answered")
    said = answer["scores"]
    found: Floats = np.array(said["data"], dtype=np.float32).reshape(said["shape"])
    return found
