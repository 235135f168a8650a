"""Attacks on classifiers beside foolbox, torchattacks and ART: ``exposure_vision.py {pgd,square}``.

All contenders attack the same images of the same network, on one thread, in turns that rotate, and
are judged alike: robust accuracy is what the network still gets right of inputs moved by at most
epsilon. Times are processor time, so that other work on the machine counts little. A ratio compares
a peer's time with ours in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EPSILON = {"digits": 0.125, "fashion": 0.06}
STEPS, QUERIES = 40, 500
MARKS = {
    "pgd": "mark: foolbox and torchattacks ≥ 1.7, ART ≥ 2.5, at equal robust accuracy",
    "square": "mark: ART ≥ 3, at no weaker robust accuracy",
}


def contenders(which: str, network: Any, eps: float, classes: int, shape: Any) -> dict[str, Any]:
    """Name to a function from images and labels, both tensors, to adversarial images."""
    import foolbox
    import torch
    import torchattacks
    from art.attacks.evasion import ProjectedGradientDescent, SquareAttack
    from art.estimators.classification import PyTorchClassifier

    from strongroom.exposure.attacks.vision.apgd import apgd
    from strongroom.exposure.attacks.vision.pgd import pgd
    from strongroom.exposure.attacks.vision.square import square

    box = {"epsilon": eps, "bounds": (0.0, 1.0)}
    alpha = 2.5 * eps / STEPS
    loss = torch.nn.CrossEntropyLoss()
    estimator = PyTorchClassifier(network, loss, shape, classes, clip_values=(0, 1))

    def of_art(attack: Any) -> Callable[[Any, Any], Any]:
        return lambda x, y: torch.from_numpy(attack.generate(x.numpy(), y.numpy()))

    if which == "square":
        art = {"norm": float("inf"), "eps": eps, "max_iter": QUERIES, "nb_restarts": 1}
        theirs = {"eps": eps, "n_queries": QUERIES, "n_restarts": 1}
        wide = {"p_init": 0.8, "batch_size": 512, "verbose": False}
        return {
            "strongroom": lambda x, y: square(network, x, y, queries=QUERIES, **box).inputs,
            "torchattacks, p_init 0.8": torchattacks.Square(network, p_init=0.8, **theirs),
            "ART, p_init 0.8": of_art(SquareAttack(estimator, **wide, **art)),
        }  # fmt: skip
    fool = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    linf = foolbox.attacks.LinfPGD(abs_stepsize=alpha, steps=STEPS, random_start=True)
    art = {"eps": eps, "eps_step": alpha, "max_iter": STEPS, "num_random_init": 1, "verbose": False}
    runs = {
        "strongroom": lambda x, y: pgd(network, x, y, steps=STEPS, **box),
        "strongroom APGD-CE": lambda x, y: apgd(network, x, y, steps=STEPS, **box),
        "strongroom APGD-DLR": lambda x, y: apgd(network, x, y, loss="dlr", steps=STEPS, **box),
        "foolbox": lambda x, y: linf(fool, x, y, epsilons=eps)[1],
        "torchattacks": torchattacks.PGD(network, eps=eps, alpha=alpha, steps=STEPS),
        "ART, its default batch of 32": of_art(ProjectedGradientDescent(estimator, **art)),
        "ART, one batch": of_art(ProjectedGradientDescent(estimator, batch_size=512, **art)),
    }
    if len(shape) > 1:  # for it, inputs are images
        auto = torchattacks.APGD(network, eps=eps, steps=STEPS, loss="ce")
        runs["torchattacks APGD-CE"] = auto
    return runs


def inside(options: argparse.Namespace) -> int:
    """The bench itself, run by the peers' interpreter."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    warnings.simplefilter("ignore")
    import torch

    from demo.classifiers import RECIPES
    from strongroom.exposure.attacks.vision.recipe import Recipe
    from strongroom.exposure.attacks.vision.references import cached_model
    from strongroom.exposure.demo.classifier import cache_folder

    torch.set_num_threads(1)
    data, layers = RECIPES[options.model].load(), RECIPES[options.model].layers
    largest = data.largest
    inputs, labels = (torch.from_numpy(p[:6000]) for p in (data.train_inputs, data.train_labels))
    recipe = Recipe(layers, tuple(inputs.shape[1:]), largest / 2, largest / 2, epochs=4)
    module = cached_model(cache_folder() / "bench", recipe, inputs, labels, 0)

    class UnitRange(torch.nn.Module):
        """Takes inputs in [0, 1], as every peer can."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, inputs: Any) -> Any:
            return self.inner(inputs * largest)

    network = UnitRange().eval()
    inputs = torch.from_numpy(data.test_inputs[: options.images]) / largest
    labels = torch.from_numpy(data.test_labels[: options.images])
    eps, shape = options.epsilon or EPSILON[options.model], tuple(inputs.shape[1:])
    if options.which == "square" and len(shape) == 1:
        sys.exit("Square is compared on images: --model fashion")
    runs = contenders(options.which, network, eps, len(data.labels), shape)
    if options.only:
        runs = {n: r for n, r in runs.items() if n.startswith(("strongroom", *options.only))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    robust: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds):
        names = list(runs)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            torch.manual_seed(turn)
            started = time.process_time()
            found = runs[name](inputs.clone(), labels.clone())
            seconds[name].append(time.process_time() - started)
            moved = float((found - inputs).abs().max())
            if moved > eps + 1e-4 or found.min() < -1e-6 or found.max() > 1 + 1e-6:
                sys.exit(f"{name} left the ball: {moved}")
            with torch.no_grad():
                robust[name].append(float((network(found).argmax(1) == labels).float().mean()))
    tell(options, eps, seconds, robust)
    return 0


def tell(
    options: Any, eps: float, seconds: dict[str, list[float]], robust: dict[str, list[float]]
) -> None:
    """The table, and JSON where asked."""
    budget = f"{QUERIES} queries" if options.which == "square" else f"{STEPS} steps"
    print(
        f"{options.which}: {options.images} images of {options.model}, L-infinity {eps}, {budget}, "
        f"one thread, {options.rounds} interleaved rounds"
    )
    print(
        f"{'contender':30} {'robust accuracy':>16} {'images/s':>9} {'time over ours (min-max)':>26}"
    )
    rows = []
    for name, took in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(took, seconds["strongroom"], strict=True)]
        middle = statistics.median(ratios)
        rows.append({"name": name, "seconds": took, "robust": robust[name], "ratio": middle})
        print(
            f"{name:30} {statistics.median(robust[name]):16.3f}"
            f" {options.images / statistics.median(took):15.0f}"
            f" {middle:10.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    print(MARKS[options.which])
    if options.json:
        options.json.write_text(json.dumps({"epsilon": eps, "rows": rows}, indent=1))


def main() -> int:
    """Start the bench in the peers' environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=sorted(MARKS))
    parser.add_argument("--model", choices=sorted(EPSILON), default="fashion")
    parser.add_argument("--epsilon", type=float, help="L-infinity, of inputs in 0 to 1")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="beginnings of contenders' names")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options)
    from peers import interpreter

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [interpreter("robustness"), __file__, *sys.argv[1:], "--inside"]
    return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
