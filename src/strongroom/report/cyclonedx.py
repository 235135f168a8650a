"""Results in a CycloneDX 1.6 ML-BOM: the model as a component whose card holds what was measured.

Specification: cyclonedx.org/docs/1.6/json. Figures go where the card has a place for them,
``quantitativeAnalysis.performanceMetrics``; what was not measured into ``considerations``.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from strongroom.exposure.cell import Cell, Figure
from strongroom.exposure.results import Results


def render(results: Results) -> bytes:
    """The BOM as JSON; its serial number follows from the results."""
    model = results.model
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{model.digest}/{results.began}/{results.seed}")
    approach = "Text-Generation" if model.kind == "causal-lm" else "Classification"
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": results.began,
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "strongroom",
                        "version": results.versions.get("strongroom", "0"),
                    }
                ]
            },
        },
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": f"model-{model.digest[:16]}",
                "name": model.name,
                "version": str(model.release),
                "hashes": [{"alg": "SHA-256", "content": model.digest}],
                "modelCard": {
                    "modelParameters": {"task": approach},
                    "quantitativeAnalysis": {
                        "performanceMetrics": [
                            _metric(cell, figure)
                            for cell in results.measured()
                            for figure in cell.figures
                        ]
                    },
                    "considerations": {
                        "technicalLimitations": [
                            f"{cell.attack} at {cell.rung}: {cell.status}: {cell.why}"
                            for cell in results.cells
                            if cell.status != "measured"
                        ]
                    },
                },
                "properties": [
                    {"name": "strongroom:rung", "value": results.granted},
                    {"name": "strongroom:budget", "value": results.budget},
                    {"name": "strongroom:seed", "value": str(results.seed)},
                    {"name": "strongroom:data-sha256", "value": results.data_digest},
                ],
            }
        ],
    }
    return json.dumps(bom, indent=2).encode() + b"\n"


def _metric(cell: Cell, figure: Figure) -> dict[str, Any]:
    one = figure.measured
    return {
        "type": f"{cell.family}: {figure.metric}",
        "value": f"{one.value:.6g}",
        "slice": f"{cell.attack} at {cell.rung}, knowing {cell.knowledge}",
        "confidenceInterval": {
            "lowerBound": f"{one.interval.low:.6g}",
            "upperBound": f"{one.interval.high:.6g}",
        },
    }
