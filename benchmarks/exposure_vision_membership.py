"""Membership attacks beside each other: AUC and rate at few false alarms, over several targets.

Trains ``references + targets`` models on random halves of the candidates, as one stack; each target
is attacked with the same references, which never include it. Figures are means over the targets,
with their least and most; the differences are paired by target.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from torch import Tensor

from strongroom.exposure.attacks.vision import likelihood
from strongroom.exposure.attacks.vision.gradient_membership import features, learned
from strongroom.exposure.attacks.vision.references import References, cached_references
from strongroom.exposure.demo.classifier import PLANS, cache_folder
from strongroom.exposure.measurement.auc import auc
from strongroom.exposure.measurement.low_fpr import tpr_at


def main() -> int:
    """Train, attack, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(PLANS), default="fashion")
    parser.add_argument("--references", type=int, default=32)
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--rows", type=int, default=12_000)
    options = parser.parse_args()
    plan = PLANS[options.model]
    data = plan.load()
    rows = min(options.rows, len(data.train_labels))
    inputs = torch.from_numpy(data.train_inputs[:rows])
    labels = torch.from_numpy(data.train_labels[:rows])
    recipe = plan.recipe
    started = time.perf_counter()
    total = options.references + options.targets
    pool = cached_references(cache_folder() / "bench", recipe, inputs, labels, total, 77)
    print(
        f"membership: {options.model}, {rows} candidates, {options.references} references, "
        f"{options.targets} targets (trained in {time.perf_counter() - started:.0f} s)"
    )
    held = torch.from_numpy(data.test_inputs)
    right = (pool.logits(held).argmax(2).numpy() == data.test_labels).mean(1)
    print(f"held-out accuracy {right.mean():.3f} ({right.min():.3f}-{right.max():.3f})")
    report(options, pool, inputs, labels)
    return 0


def report(options: argparse.Namespace, pool: References, inputs: Tensor, labels: Tensor) -> None:
    """Attack each target and print one line an attack."""
    logits = pool.logits(inputs)
    found: dict[str, list[tuple[float, float, float]]] = {}
    refs = References(pool.members[: options.references], pool.networks[: options.references])
    theirs = torch.stack([features(n, inputs, labels) for n in refs.networks[:16]])
    for number in range(options.references, options.references + options.targets):
        truth = pool.members[number].numpy()
        scores = attacks(logits[number], logits[: options.references], refs.members, labels)
        ours = features(pool.networks[number], inputs, labels)
        scores["gradients, 16 references"] = learned(ours, theirs, refs.members[:16])
        for name, values in scores.items():
            inside, outside = values.numpy()[truth], values.numpy()[~truth]
            rates = [tpr_at(inside, outside, fpr) for fpr in (0.01, 0.001)]
            row = (
                auc(inside.astype(float), outside.astype(float)).value,
                *(rate.tpr.value if rate else float("nan") for rate in rates),
            )
            found.setdefault(name, []).append(row)
    print("{:30} {:>22} {:>22} {:>22}".format("attack", "AUC", "TPR at 1 %", "TPR at 0.1 %"))
    for name, rows in found.items():
        columns = [f"{np.mean(c):.4f} ({min(c):.4f}-{max(c):.4f})" for c in zip(*rows, strict=True)]
        print(f"{name:30} {columns[0]:>22} {columns[1]:>22} {columns[2]:>22}")
    rmia, lira = (np.array(found[n])[:, 0] for n in ("RMIA, 8 references", "LiRA, 32 references"))
    gap = rmia - lira
    print(f"AUC of RMIA 8 less LiRA 32: {gap.mean():+.4f} ({gap.min():+.4f} to {gap.max():+.4f})")
    for column, rate in ((1, "1 %"), (2, "0.1 %")):
        high, low = (
            np.array(found[n])[:, column].mean() for n in ("LiRA, 32 references", "loss threshold")
        )
        print(f"LiRA over the loss threshold at {rate} false alarms: {high / low:.1f} times")


def attacks(ours: Tensor, theirs: Tensor, members: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Scores (rows,) of each attack at the rung ``logits``."""
    odds, others = likelihood.scaled(ours, labels), likelihood.scaled(theirs, labels)
    scores = {"loss threshold": odds}
    for count in (8, 16, 32):
        few, seen = others[:count], members[:count]
        scores[f"LiRA, {count} references"] = likelihood.lira_online(odds, few, seen)
        scores[f"RMIA, {count} references"] = likelihood.rmia(odds.sigmoid(), few.sigmoid(), seen)
    scores["LiRA offline, 32 references"] = likelihood.lira_offline(odds, others, members)
    scores["RMIA offline, 8 references"] = likelihood.rmia(
        odds.sigmoid(), others[:8].sigmoid(), members[:8], online=False
    )
    return scores


if __name__ == "__main__":
    sys.exit(main())
