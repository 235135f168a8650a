"""Cells of the demo classifier over seeds: ``python -m benchmarks.exposure_seeds --model digits``.

Each seed is another model of the demo's recipe: other members, other weights at the start, another
split of what the attackers are given, other random numbers of the attacks and of the judge. The
cells are those of ``strongroom audit demo-classifier --budget quick``, in this process: without the
door, so without its budgets, and without the attacks on the served system. An attack's time is not
limited, so that a busy machine changes no figure; its queries are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from strongroom.exposure import audit, registry
from strongroom.exposure.cell import Cell
from strongroom.exposure.data import Split
from strongroom.exposure.demo.classifier import PLANS, demo_classifier
from strongroom.exposure.interface import Records
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import classifier_of
from strongroom.exposure.plan import plan
from strongroom.exposure.subjects.classifier import ClassifierSubject
from strongroom.exposure.subjects.interface import SCALES

HEADLINES = (
    "membership-loss", "membership-lira", "membership-rmia", "membership-label", "cloning",
    "evasion", "inversion", "hidden-size",
)  # fmt: skip
SCALE = dataclasses.replace(SCALES["quick"], seconds=3600.0)


def cells(name: str, seed: int, wanted: tuple[str, ...], cache: Path) -> list[Cell]:
    """What the audit finds of the demo classifier that this seed makes."""
    made = demo_classifier(name, cache, seed)
    parts = [made.candidates, made.attacker, made.held]
    records = Records(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
    member = np.zeros(len(records.labels), dtype=bool)
    member[: len(made.members)] = made.members
    subject = ClassifierSubject(
        classifier_of(made.config, {k: torch.from_numpy(v) for k, v in made.tensors().items()}),
        made.config,
        Split(records, member),
        SCALE,
        {},
        epsilon=made.plan.epsilon,
        cache=cache,
        seed=seed,
    )
    attacks = [each for each in registry.attacks_on("classifier") if each.name.startswith(wanted)]
    rungs = (Rung.LABEL, Rung.TOP1, Rung.LOGITS, Rung.WEIGHTS)
    return [
        audit.measure(subject, each, SCALE, seed=seed, command="", versions={})
        for each in plan(subject, attacks, rungs, SCALE)
    ]


def main() -> int:
    """Measure and print one line a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(PLANS), default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--attacks", nargs="+", default=list(HEADLINES), help="beginnings of names")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[Cell]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            began = time.process_time()
            for cell in cells(options.model, seed, tuple(options.attacks), Path(folder)):
                found.setdefault((cell.attack, cell.rung), []).append(cell)
            took = time.process_time() - began
            print(f"seed {seed}: {took:.0f} core-seconds", file=sys.stderr, flush=True)
    tell(options, found)
    return 0


def tell(options: argparse.Namespace, found: dict[tuple[str, str], list[Cell]]) -> None:
    """Median and range of the headlines, of their nulls, and the widest single interval."""
    seeds = f"seeds 0 to {options.seeds - 1}"
    print(f"{options.model}, {seeds}, budget quick, in process; median (least-most)")
    print(
        f"{'cell':34} {'metric':12} {'figure':>22} {'null':>22} {'n':>5} widest interval, severity"
    )
    rows = []
    for (attack, rung), each in sorted(found.items()):
        measured = [cell for cell in each if cell.figures]
        row = {"attack": attack, "rung": rung, "of": len(each), "measured": len(measured)}
        rows.append(row)
        if not measured:
            print(f"{attack + ' ' + rung:34} not measured: {each[0].why}")
            continue
        figures = [cell.figures[0] for cell in measured]
        values = [figure.measured.value for figure in figures]
        nulls = [figure.null.value for figure in figures]
        wide = max(f.measured.interval.high - f.measured.interval.low for f in figures)
        said = "/".join(sorted({cell.severity for cell in measured}))
        row |= {"values": values, "nulls": nulls, "n": [f.measured.n for f in figures]}
        print(
            f"{attack + ' ' + rung:34} {figures[0].metric[:12]:12} {told(values):>22} "
            f"{told(nulls):>22} {figures[0].measured.n:5d} {wide:.3f} {said}"
            + ("" if len(measured) == len(each) else f" ({len(measured)} of {len(each)} measured)")
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def told(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    sys.exit(main())
