"""Results made by hand, for tests of gates and reports."""

from __future__ import annotations

from strongroom.exposure.cell import (
    Cell,
    CurvePoint,
    Estimate,
    Figure,
    Interval,
    RecordRisk,
    RocPoint,
    Severity,
    Spent,
    Status,
)
from strongroom.exposure.results import Model, Results


def estimate(value: float, n: int = 100) -> Estimate:
    return Estimate(value, Interval(value - 0.02, value + 0.02), n, "by hand")


def cell(
    attack: str = "membership-loss",
    family: str = "membership",
    rung: str = "label",
    value: float = 0.6,
    severity: Severity = "medium",
    status: Status = "measured",
    metric: str = "AUC",
    **more: object,
) -> Cell:
    measured = status == "measured"
    figure = Figure(metric, estimate(value), estimate(0.5), 0.001)
    fields: dict[str, object] = {
        "figures": (figure,) if measured else (),
        "curve": (CurvePoint(100, estimate(0.52)), CurvePoint(1600, estimate(value)))
        if measured
        else (),
        "roc": (RocPoint(0, 0), RocPoint(0.01, 0.05), RocPoint(1, 1)) if measured else (),
        "records": tuple(RecordRisk(i, i / 10, i % 2 == 0) for i in range(10)) if measured else (),
        "why": "" if measured else "It was not.",
        "sentence": "It worked." if measured else "",
        "goal": "Find out",
        "knowledge": "nothing",
        "spent": Spent(1600, 0, 1.5, 0.0, {"gateway.limit_reached": 2}),
        "served": True,
        "taxonomy": ("ATLAS:AML.T0024.000",),
        "source": "by hand",
        "command": "strongroom audit x --attacks y",
        "call": "Loss()",
    }
    return Cell(
        attack=attack,
        family=family,
        rung=rung,
        status=status,
        severity=severity if measured else "unknown",
        **(fields | more),  # type: ignore[arg-type]
    )


def results(*cells: Cell, granted: str = "label", name: str = "digits") -> Results:
    return Results(
        model=Model(name, "classifier", 3, "ab" * 32, {"*": granted}),
        granted=granted,
        facts={"records": "10 trained on, 10 not"},
        data_digest="cd" * 32,
        budget="quick",
        seed=0,
        began="2026-11-23T08:00:00Z",
        seconds=12.5,
        versions={"strongroom": "0.1", "torch": "2.13"},
        machine={"processors": "2"},
        cells=cells,
    )
