"""Whether a student holds the teacher's tensors: a copied matrix stays at cosine 1.

Every matrix of the student is laid beside every matrix of the teacher of the same width, by rows
and by columns, in two ways:

- matched: for each row of the teacher's the student's most alike, by absolute cosine, on average;
  unmoved by the order, sign and scale of rows;
- gram: the cosine of the centred Gram matrices; unmoved by any rotation of the rows.

Models trained on the same data are alike without any copying, so each teacher's matrix is judged
against independently trained models: 0 is the most alike of those, 1 is the teacher itself.
Vectors shorter than ``NARROW`` are left out, as any two are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional

NARROW = 16
Alike = Callable[[Tensor, Tensor], float]


def copied(student: nn.Module, teacher: nn.Module, independent: Sequence[nn.Module]) -> float:
    """How far beyond ``independent`` models the student goes towards the teacher, at the matrix
    where it goes farthest; below 0 where it is less alike than they are.

    Raises:
        ValueError: there is no independent model.
    """
    if not independent:
        raise ValueError("similarity needs models that are independent of the teacher")
    worst = -1.0
    for own in _sides(teacher):
        for alike in (_matched, _gram):
            null = max(_most(alike, own, other) for other in independent)
            if null < 1:
                worst = max(worst, (_most(alike, own, student) - null) / (1 - null))
    return worst


def _most(alike: Alike, own: Tensor, model: nn.Module) -> float:
    """Of ``model``'s matrices the most alike; 0 where none has that width."""
    sides = [side for side in _sides(model) if side.shape[1] == own.shape[1]]
    return max((alike(own, side) for side in sides), default=0.0)


def _sides(model: nn.Module) -> Iterator[Tensor]:
    """Each matrix by rows and by columns."""
    for values in model.parameters():
        if values.ndim > 1:
            matrix = values.detach().flatten(1)
            yield from (side for side in (matrix, matrix.T) if side.shape[1] >= NARROW)


def _matched(own: Tensor, other: Tensor) -> float:
    cosines = functional.normalize(own, dim=1) @ functional.normalize(other, dim=1).T
    return float(cosines.abs().amax(1).mean())


def _gram(own: Tensor, other: Tensor) -> float:
    one, two = _centred(own), _centred(other)
    return float((one * two).sum() / (one.norm() * two.norm()).clamp_min(1e-12))


def _centred(rows: Tensor) -> Tensor:
    gram = rows.T @ rows
    gram = gram - gram.mean(0)
    return gram - gram.mean(1, keepdim=True)
