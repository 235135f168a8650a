"""Other models of the owner's, beside which a student is laid as beside its teacher.

A student is made of one teacher, but it may hold tensors of another: of an earlier release, or of
whatever lay on its maker's disk. Such a model is named by the digest of its manifest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from strongroom.distil import checks
from strongroom.distil.checks import Check
from strongroom.distil.similarity import NARROW, copied, matrices
from strongroom.exposure.targets.in_process_language import LanguageModel

ENDS = "0: independent models, 1: the model itself"


@dataclass(frozen=True, repr=False)
class Beside:
    """A sealed model, whose weights may be wiped when the next one is asked for.

    Args:
        digest: of its manifest, SHA-256, hex.
        matrices: its tensors of two axes and more, the first as rows.
        language: what reads its words; None: it is no language model.
    """

    digest: str
    matrices: Sequence[Tensor]
    language: LanguageModel | None = None

    @property
    def short(self) -> str:
        """For the name of a check."""
        return f"sealed model {self.digest[:16]}"


def by_tensors(
    student: nn.Module,
    other: Beside,
    independent: Sequence[nn.Module],
    limit: float,
    more: Sequence[Tensor] = (),
) -> Check:
    """Whether ``student`` holds tensors of ``other``, or ``more`` of its matrices; see ``copied``.

    Where no two matrices have a width in common there is nothing to lay side by side: it is told.
    """
    name = f"likeness to the tensors of {other.short}"
    theirs = [*other.matrices, *more]
    if not _widths(theirs) & _widths(matrices(student)):
        return checks.told(name, None, f"manifest {other.digest}; no matrix of a width in common")
    found = copied(student, theirs, independent)
    return checks.most(name, found, limit, f"manifest {other.digest}; {ENDS}")


def _widths(given: Sequence[Tensor]) -> set[int]:
    return {width for each in given for width in each.shape if width >= NARROW}
