"""Results as SARIF 2.1.0 (OASIS), for the views that CI systems give findings.

One rule an attack, one result a measured cell. What was not measured is a notification of the run,
so that nobody takes its absence for a good result.
"""

from __future__ import annotations

import json
from typing import Any

from strongroom.exposure.cell import Cell
from strongroom.exposure.results import Results

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "none": "none",
    "unknown": "warning",
}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.5"}


def render(results: Results) -> bytes:
    """The log as JSON."""
    names = list(dict.fromkeys(cell.attack for cell in results.cells))
    rules = [_rule(next(c for c in results.cells if c.attack == name)) for name in names]
    measured = results.measured()
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "strongroom audit",
                        "semanticVersion": results.versions.get("strongroom", "0"),
                        "rules": rules,
                    }
                },
                "results": [_result(results, cell, names.index(cell.attack)) for cell in measured],
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "startTimeUtc": results.began,
                        "toolExecutionNotifications": [
                            _notice(cell) for cell in results.cells if cell not in measured
                        ],
                    }
                ],
                "properties": {
                    "model": results.model.name,
                    "modelDigest": results.model.digest,
                    "granted": results.granted,
                    "budget": results.budget,
                    "seed": results.seed,
                },
            }
        ],
    }
    return json.dumps(log, indent=2).encode() + b"\n"


def _rule(cell: Cell) -> dict[str, Any]:
    goal = cell.goal.rstrip(".")
    return {
        "id": cell.attack,
        "name": "".join(part.capitalize() for part in cell.attack.split("-")),
        "shortDescription": {"text": f"{goal}."},
        "fullDescription": {"text": f"{goal}. Source: {cell.source}."},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["security", cell.family, *cell.taxonomy]},
    }


def _result(results: Results, cell: Cell, rule: int) -> dict[str, Any]:
    one = cell.figures[0].measured
    properties: dict[str, Any] = {
        "rung": cell.rung,
        "knowledge": cell.knowledge,
        "severity": cell.severity,
        "metric": cell.figures[0].metric,
        "value": one.value,
        "low": one.interval.low,
        "high": one.interval.high,
        "null": cell.figures[0].null.value,
        "queries": cell.spent.queries,
        "command": cell.command,
    }
    if cell.severity in _SCORES:
        properties["security-severity"] = _SCORES[cell.severity]
    return {
        "ruleId": cell.attack,
        "ruleIndex": rule,
        "kind": "pass" if cell.severity == "none" else "fail",
        "level": _LEVELS[cell.severity],
        "message": {"text": f"At rung {cell.rung}: {cell.sentence}"},
        "locations": [
            {
                "logicalLocations": [
                    {"name": cell.rung, "fullyQualifiedName": f"{results.model.name}/{cell.rung}"}
                ]
            }
        ],
        "partialFingerprints": {"cell/v1": "/".join((results.model.name, *cell.key))},
        "properties": properties,
    }


def _notice(cell: Cell) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": f"{cell.attack} at {cell.rung}: {cell.status}: {cell.why}"},
        "associatedRule": {"id": cell.attack},
    }
