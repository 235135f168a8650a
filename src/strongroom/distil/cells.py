"""What the gate's attacks found as cells of the exposure matrix, at the student's rung."""

from __future__ import annotations

import msgspec

from strongroom.distil.leakage import Leak
from strongroom.exposure.cell import Cell, Figure
from strongroom.exposure.interface import Family, Knows
from strongroom.exposure.judge.interface import Verdict
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


def of_texts(attack: str, attacks: int, verdict: Verdict, seed: int) -> Cell:
    """Finding the teacher's texts through the student of a language model.

    Args:
        attack: the strongest.
        attacks: how many were tried: the p-values are corrected for it.
        verdict: what the judge made of it; which text risks what is left out, as a statement with
            this cell is handed out.
        seed: of the plan.
    """
    figures = tuple(
        msgspec.structs.replace(each, p_value=min(1.0, attacks * each.p_value))
        for each in verdict.figures
    )
    chosen = f"The strongest of {attacks} attacks is told, chosen with the truth in hand."
    return Cell(
        attack="membership through a student",
        family=Family.MEMBERSHIP.value,
        goal="Find what text was in the teacher's training data.",
        rung=Rung.STUDENT.value,
        knowledge=Knows.RECIPE.value,
        status=verdict.status,
        why=f"{chosen} {verdict.why}".strip(),
        sentence=f"By {attack}: {verdict.sentence}" if verdict.sentence else "",
        figures=figures,
        roc=verdict.roc,
        severity=verdict.severity,
        seeds=(seed,),
        source="Carlini et al. 2021; Shi et al. 2024 (Min-K%); Zhang et al. 2025 (Min-K%++)",
        command="strongroom distil gate",
    )


def of_canaries(verdict: Verdict, seed: int) -> Cell:
    """Finding planted secrets through the student of a language model."""
    return Cell(
        attack="canary exposure through a student",
        family=Family.EXTRACTION.value,
        goal="Find secrets that were planted in the teacher's training data.",
        rung=Rung.STUDENT.value,
        knowledge=Knows.NOTHING.value,
        status=verdict.status,
        why=verdict.why,
        sentence=verdict.sentence,
        figures=verdict.figures,
        severity=verdict.severity,
        seeds=(seed,),
        source="Carlini et al. 2019, arXiv 1802.08232",
        command="strongroom distil gate",
    )
