"""What students of the digits classifier keep of it, and what they give away.

For each kind of answer, each budget and several seeds (of the division of records, of the
questions, of training): utility, the strongest attack on the teacher's training records through the
student with its AUC and its TPR at 1 % FPR, and how adversarial inputs carry over. ``nothing`` is
the null: a student of another teacher, that saw none of the records asked about; what attacks find
there is chance.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from strongroom.distil.checks import Verdict
from strongroom.distil.division import divide
from strongroom.distil.gate import judge
from strongroom.distil.making import Workshop
from strongroom.distil.plan import Grants, Plan
from strongroom.exposure.attacks.vision.recipe import train
from strongroom.exposure.data import Split
from strongroom.exposure.demo.classifier import demo_classifier
from strongroom.exposure.interface import Records
from strongroom.exposure.model import Classifier

KINDS = ("labels", "votes", "logits", "nothing")


def verdicts(kind: str, queries: int, seeds: int) -> Iterator[Verdict]:
    demo = demo_classifier("digits")
    records = (demo.candidates, demo.attacker, demo.held)
    inputs = np.concatenate([part.inputs for part in records])
    labels = np.concatenate([part.labels for part in records])
    member = np.zeros(len(labels), dtype=bool)
    member[: len(demo.members)] = demo.members
    teacher = Classifier(demo.module, (64,), (0.0, 16.0), tuple(demo.config["labels"]))
    for seed in range(seeds):
        answers = "labels" if kind == "nothing" else kind
        plan = Plan(
            "0" * 64,
            "digits",
            "0" * 64,
            queries,
            answers,  # type: ignore[arg-type]
            grants=Grants(soft_labels=True),
            seed=seed,
        )
        division = divide(Split(Records(inputs, labels), member), seed)
        shop = Workshop(plan, teacher, demo.config, division)
        asked = shop
        if kind == "nothing":
            held = division.held
            rows, told = torch.from_numpy(held.inputs), torch.from_numpy(held.labels)
            stranger = train(plan.teachers(demo.config), rows, told, seed)
            asked = replace(shop, teacher=replace(teacher, module=stranger))
        target = asked.target()
        student = asked.student(target)
        yield judge(student, shop, target.spent().queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--queries", nargs="+", type=int, default=[450, 4000])
    parser.add_argument("--seeds", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for queries in given.queries:
        for kind in given.kinds:
            rows = []
            for verdict in verdicts(kind, queries, given.seeds):
                utility, area, rate, _, alike, _, carried, *_ = (c.value for c in verdict.checks)
                rows.append((utility, area, rate, alike, carried))
                attack = verdict.checks[1].note.split(",")[0]
                told = ", ".join("-" if each is None else f"{each:.3f}" for each in rows[-1])
                print(f"  {kind}, {queries}: {told}, {attack}", flush=True)
            columns = zip(*rows, strict=True)
            means = [statistics.mean(v for v in column if v is not None) for column in columns]
            print(
                f"{kind}, {queries} rows asked: utility {means[0]:.3f}, AUC {means[1]:.3f} "
                f"(largest {max(row[1] for row in rows):.3f}), TPR at 1 % FPR {means[2]:.3f}, "
                f"likeness {means[3]:.2f}, carried over {means[4]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
