"""What the gate's attack found as a cell of the exposure matrix, at the student's rung."""

from __future__ import annotations

from strongroom.distil.leakage import Leak
from strongroom.exposure.cell import Cell, Figure
from strongroom.exposure.interface import Family, Knows
from strongroom.exposure.ladder import Rung

_ATTACKS = 4


def membership(leak: Leak, null: Leak, seed: int) -> Cell:
    """Finding the teacher's records through the student.

    Args:
        leak: through the student that is judged.
        null: the same through a student of another teacher, whose own records have nothing to do
            with the real one's: what the attacks give where there is nothing to find.
        seed: of the plan.
    """
    p = min(1.0, _ATTACKS * leak.p)  # the best of so many is told
    figure = Figure("AUC", leak.auc, null.auc, p_value=p)
    return Cell(
        attack="membership through a student",
        family=Family.MEMBERSHIP.value,
        goal="Find who was in the teacher's training data.",
        rung=Rung.STUDENT.value,
        knowledge=Knows.RECIPE.value,
        status="measured",
        why=f"The strongest of {_ATTACKS} attacks is told, chosen with the truth in hand.",
        sentence=f"By {leak.attack}: AUC {leak.auc.value:.3f}, without anything to find "
        f"{null.auc.value:.3f}.",
        figures=(figure,),
        seeds=(seed,),
        source="Carlini et al. 2022 (LiRA); Zarifzadeh et al. 2024 (RMIA)",
        command="strongroom distil gate",
    )
