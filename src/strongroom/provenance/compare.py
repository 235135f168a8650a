"""Is a suspect a copy? Its likeness to a fingerprint, beside that of models that are none.

1. Layers of the suspect are matched with layers of the registered model in order (dynamic
   programming): layers that were dropped, doubled or added do not matter. The likeness is the mean
   cosine over the matched, as many as the shorter model has.
2. The same is done for each model of a library that has nothing to do with the registered one,
   divided by the share of the anchors that it knows: no model seems unlike for want of words.
   Trained models share much (the geometry of their tokens), so that a null by relabelling would
   accuse every model: only independent models say what independence looks like.
3. ``p`` is the chance that another independent model is as like as the suspect, if likenesses of
   independent models are normal: Student's t for one more draw (``n`` - 1 degrees of freedom).
   Beside it stands the p-value of the rank, which assumes nothing and cannot be below
   ``1 / (n + 1)``.
4. A copy is called one only if p < ``LEVEL`` and the likeness is above ``LEAST`` as well, which no
   independent model came near to (docs/provenance.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from strongroom.exposure.measurement.special import beta_cdf
from strongroom.provenance.decoder import Decoder
from strongroom.provenance.fingerprint import Fingerprint, forms, share, sketches
from strongroom.provenance.reasons import refuse

LEAST: Final = 0.5
LEVEL: Final = 1e-3
LEAST_LIBRARY: Final = 8

Verdict = Literal["copy", "no copy found"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like a model is to a registered one: -1 to 1; which layer was matched with which."""

    name: str
    value: float
    matched: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A suspect beside a library. ``z`` counts in standard deviations of the library."""

    suspect: Likeness
    library: tuple[Likeness, ...]
    z: float
    p: float
    verdict: Verdict

    @property
    def rank_p(self) -> float:
        """The p-value that assumes nothing of the distribution."""
        above = sum(other.value >= self.suspect.value for other in self.library)
        return (above + 1) / (len(self.library) + 1)


def likeness(registered: Fingerprint, model: Decoder) -> Likeness:
    """Rule 1.

    Raises:
        ArtifactRefused: as ``fingerprint.forms``.
    """
    ours = sketches(registered)
    theirs = forms(model, registered.anchors, registered.seed)
    return Likeness(model.name, *aligned(ours, theirs))


def compare(registered: Fingerprint, suspect: Decoder, library: Sequence[Decoder]) -> Comparison:
    """Rules 2 to 4.

    Raises:
        ArtifactRefused: ``provenance.library_too_small``,
            ``provenance.library_not_independent``, or as ``likeness``.
    """
    if len(library) < LEAST_LIBRARY:
        raise refuse("provenance.library_too_small", found=len(library), least=LEAST_LIBRARY)
    found = likeness(registered, suspect)
    others = tuple(_full(registered, model) for model in library)
    for other in others:
        if other.value >= LEAST:
            raise refuse("provenance.library_not_independent", name=other.name)
    values = torch.tensor([other.value for other in others], dtype=torch.float64)
    mean, spread = float(values.mean()), max(float(values.std()), 1e-6)
    z = (found.value - mean) / spread
    p = tail(z / math.sqrt(1 + 1 / len(others)), len(others) - 1)
    copy = p < LEVEL and found.value >= LEAST
    return Comparison(found, others, z, p, "copy" if copy else "no copy found")


def _full(registered: Fingerprint, model: Decoder) -> Likeness:
    """Rule 2: the likeness as if the model knew every anchor."""
    found = likeness(registered, model)
    return replace(found, value=found.value / share(model, registered.anchors))


def tail(t: float, freedom: int) -> float:
    """The chance that Student's t with ``freedom`` degrees exceeds ``t``."""
    half = beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    return half if t > 0 else 1 - half


def aligned(ours: Tensor, theirs: Tensor) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Rule 1 of two models' ``forms``: the matching in order with the largest sum, over as many
    pairs as the shorter has, and its pairs (theirs, ours)."""
    cosines = theirs @ ours.T / 2  # two halves of norm one each
    rows, columns = cosines.shape
    table = cosines.tolist()
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            best[i][j] = max(
                best[i - 1][j], best[i][j - 1], best[i - 1][j - 1] + table[i - 1][j - 1]
            )
    pairs, i, j = [], rows, columns
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return best[rows][columns] / min(rows, columns), tuple(reversed(pairs))
