"""Rung ``embeddings`` of a language model behind an OpenAI-compatible door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from strongroom.exposure.interface import Budget, Floats
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.http import Door, require_right
from strongroom.exposure.targets.metering import Meter

_MOST_TEXTS = 16
"""Texts of one request."""


def open_served_embeddings(
    url: str, key: str, name: str, budget: Budget, *, owned: bool = False
) -> Any:
    """The target, over HTTP; arguments and errors as those of ``open_served_text``."""
    require_right(url, owned=owned)
    meter = Meter(budget.queries, budget.seconds)
    door = Door(url, key, meter)

    def embed(texts: Sequence[str]) -> Floats:
        rows: list[list[float]] = []
        for at in range(0, len(texts), _MOST_TEXTS):
            part = list(texts[at : at + _MOST_TEXTS])
            meter.charge(len(part))
            said = door.post("/v1/embeddings", {"model": name, "input": part})
            meter.answered()
            rows += _rows(said, len(part))
        return np.array(rows, dtype=np.float32)

    return close({"embed": embed, "spent": meter.spent})


def _rows(said: dict[str, Any], count: int) -> list[list[float]]:
    try:
        found = sorted(said["data"], key=lambda each: int(each["index"]))
        rows = [[float(value) for value in each["embedding"]] for each in found]
    except (KeyError, TypeError, ValueError):
        raise refuse("exposure.endpoint_failed", why="its answer has no embeddings") from None
    if len(rows) != count or not all(len(row) == len(rows[0]) > 0 for row in rows):
        raise refuse("exposure.endpoint_failed", why="its embeddings are not one a text")
    return rows
