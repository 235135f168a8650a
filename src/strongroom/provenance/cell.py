"""Proofs as cells of the exposure matrix: what was found beside what independence looks like."""

from __future__ import annotations

import math
import statistics

from strongroom.exposure.cell import Cell, Estimate, Figure, Interval
from strongroom.exposure.ladder import Rung
from strongroom.exposure.measurement.special import beta_quantile, normal_quantile
from strongroom.provenance.compare import Comparison
from strongroom.provenance.radioactivity import Found

_LEVEL = 0.95


def cell(found: Comparison) -> Cell:
    """The likeness of the suspect, and as its null the interval in which the likeness of one more
    independent model lies: mean and spread of the library, Student's t with n - 1 degrees.

    The likeness itself is computed from all weights, not sampled: its interval is a point.
    """
    value = found.suspect.value
    measured = Estimate(
        value, Interval(value, value, _LEVEL), len(found.suspect.matched), "computed, not sampled"
    )
    return Cell(
        attack="weight fingerprint",
        family="provenance",
        goal="Tell whether a model's weights are a copy of the registered ones.",
        rung=Rung.WEIGHTS.value,
        knowledge="fingerprint",
        status="measured",
        why="It shows that weights were copied; not who did it, nor whether answers were learnt.",
        sentence=f"{found.suspect.name}: {found.verdict}.",
        figures=(Figure("likeness", measured, _null(found), p_value=found.p),),
        source="Zeng et al. 2024 (HuRef), arXiv 2312.04828",
        command="strongroom prove detect",
    )


def radioactivity_cell(found: Found) -> Cell:
    """The suspect's z, and as its null that of the same predictions under keys that marked nothing.

    The z is computed from all predictions on the probe, not sampled: its interval is a point.
    """
    z, reach = found.judged.z, normal_quantile((1 + _LEVEL) / 2)
    measured = Estimate(z, Interval(z, z, _LEVEL), found.tokens, "computed, not sampled")
    null = Estimate(0.0, Interval(-reach, reach, _LEVEL), found.judged.wrong, "other keys")
    return Cell(
        attack=f"radioactivity, {found.judged.scheme}",
        family="provenance",
        goal="Tell whether a model learnt from answers that carry an organisation's mark.",
        rung=Rung.WEIGHTS.value,
        knowledge="watermark key",
        status="measured",
        why="It shows that marked answers were learnt from; not by whom, how many, or whose act.",
        sentence=f"{found.suspect}: {found.verdict}, by the key of {found.tenant}.",
        figures=(Figure("z over keys", measured, null, p_value=found.judged.p),),
        source="Sander et al. 2024, arXiv 2402.14904",
        command="strongroom prove radioactivity",
    )


def _null(found: Comparison) -> Estimate:
    values = [other.value for other in found.library]
    mean, spread, freedom = statistics.mean(values), statistics.stdev(values), len(values) - 1
    share = beta_quantile(1 - _LEVEL, freedom / 2, 0.5)
    reach = math.sqrt(freedom * (1 - share) / share) * spread * math.sqrt(1 + 1 / len(values))
    return Estimate(
        mean,
        Interval(mean - reach, mean + reach, _LEVEL),
        len(values),
        "one more independent model, Student's t",
    )
