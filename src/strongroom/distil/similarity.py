"""Whether a student holds the teacher's tensors: a copied matrix stays at cosine 1.

Every matrix of the student is laid beside every matrix of the teacher of the same width, by rows
and by columns, in two ways:

- matched: for each row of the teacher's the student's most alike, by absolute cosine, on average;
  unmoved by the order, sign and scale of rows. Of more than ``ROWS`` rows so many are drawn;
- gram: the cosine of the centred Gram matrices; unmoved by any rotation of the rows.

Models trained on the same data are alike without any copying, so each teacher's matrix is judged
against independently trained models: 0 is the most alike of those, 1 is the teacher itself.
Vectors shorter than ``NARROW`` are left out, as any two are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

NARROW = 16
ROWS = 128
_WIDEST_GRAM = 4096
"""Above this width a Gram matrix is larger than what it is made of."""


def copied(student: nn.Module, theirs: Sequence[Tensor], independent: Sequence[nn.Module]) -> float:
    """How far beyond ``independent`` models the student goes towards ``theirs``, at the matrix
    where it goes farthest; below 0 where it is less alike than they are.

    Args:
        student: what is to be released.
        theirs: the matrices that are looked for, as ``matrices`` gives those of a teacher.
        independent: models made like the student, without the teacher.

    Raises:
        ValueError: there is no independent model.
    """
    if not independent:
        raise ValueError("similarity needs models that are independent of the teacher")
    own, *others = ([*_sides(matrices(each))] for each in (student, *independent))
    worst = -1.0
    for side in _sides(theirs):
        for alike in (_Side.matched, _Side.gram):
            null = max(_most(alike, side, each) for each in others)
            if null < 1:
                worst = max(worst, (_most(alike, side, own) - null) / (1 - null))
    return worst


class _Side:
    """The rows (n, width) of a matrix, or its columns."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows.float()

    def matched(self, other: _Side) -> float:
        """See the module: of the rows of ``self`` in ``other``."""
        return float((self._drawn @ other._unit.T).abs().amax(1).mean())

    def gram(self, other: _Side) -> float:
        """See the module; the product of two Gram matrices is that of their rows, squared."""
        if self.rows.shape[1] <= _WIDEST_GRAM:
            return float((self._gram * other._gram).sum())
        shared = (self._centred @ other._centred.T).square().sum()
        return float(shared / (self._size * other._size).clamp_min(1e-12))

    @cached_property
    def _unit(self) -> Tensor:
        return functional.normalize(self.rows, dim=1)

    @cached_property
    def _drawn(self) -> Tensor:
        if len(self.rows) <= ROWS:
            return self._unit
        draw = torch.Generator().manual_seed(0)
        return self._unit[torch.randperm(len(self.rows), generator=draw)[:ROWS]]

    @property
    def _centred(self) -> Tensor:
        centred: Tensor = self.rows - self.rows.mean(1, keepdim=True)
        return centred

    @property
    def _size(self) -> Tensor:
        size: Tensor = (self._centred @ self._centred.T).norm()
        return size

    @cached_property
    def _gram(self) -> Tensor:
        gram = self._centred.T @ self._centred
        unit: Tensor = gram / gram.norm().clamp_min(1e-12)
        return unit


def _most(alike: Callable[[_Side, _Side], float], own: _Side, sides: Iterable[_Side]) -> float:
    """The most alike of ``sides``; 0 where none has that width."""
    same = (alike(own, side) for side in sides if side.rows.shape[1] == own.rows.shape[1])
    return max(same, default=0.0)


def matrices(model: nn.Module) -> list[Tensor]:
    """The parameters of two axes and more, with the first as rows."""
    return as_matrices(model.parameters())


def as_matrices(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Those of two axes and more, with the first as rows."""
    return [values.detach().flatten(1) for values in tensors if values.ndim > 1]


def _sides(matrices: Sequence[Tensor]) -> Iterator[_Side]:
    """Each matrix by rows and by columns."""
    for matrix in matrices:
        yield from (_Side(side) for side in (matrix, matrix.T) if side.shape[1] >= NARROW)
