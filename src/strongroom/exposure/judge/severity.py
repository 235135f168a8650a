"""How bad a figure is: significance first, then the distance from the null, by family.

The steps are the project's own, stated here and in docs/measurement.md. A figure whose interval
reaches into its null's is ``none``: that is not the claim that nothing leaks.
"""

from __future__ import annotations

from strongroom.exposure.cell import Figure, Severity

_NAMES: tuple[Severity, ...] = ("low", "medium", "high", "critical")


def of_excess(figure: Figure, steps: tuple[float, float, float]) -> Severity:
    """The severity of a figure where more is worse.

    Args:
        figure: measured and null.
        steps: the excess over the null from which it is medium, high, critical.
    """
    if not clear_of_null(figure):
        return "none"
    excess = figure.measured.value - figure.null.value
    return _NAMES[sum(excess >= step for step in steps)]


def clear_of_null(figure: Figure) -> bool:
    """Whether the interval lies above the null's value and above most of the null's interval."""
    null = max(figure.null.value, min(figure.null.interval.high, figure.measured.value))
    return figure.measured.interval.low > figure.null.value and figure.measured.value > null
