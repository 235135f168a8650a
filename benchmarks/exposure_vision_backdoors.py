"""The backdoor screen on six clean models and seven planted ones: four poisoned, three edited.

Fourteen clean models of one recipe are trained, eight of them as references; each alarm of each
statistic is told, so that one sees which finds what. ``oddity`` above 1 is an alarm.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

import torch
from torch import nn

from strongroom.exposure.attacks.vision.backdoor_screen import calibrate, statistics
from strongroom.exposure.attacks.vision.recipe import logits_of, one_thread, train
from strongroom.exposure.attacks.vision.view import Public
from strongroom.exposure.controls.backdoors import Trigger, edited, poisoned, success
from strongroom.exposure.demo.classifier import PLANS
from strongroom.exposure.interface import Records

SETTINGS = {"digits": (1400, 30, 0.03, 2), "fashion": (6000, 4, 0.01, 3)}
"""Training rows, epochs, share of them poisoned, side of the trigger."""
REFERENCES, CLEAN = 8, 6


def main() -> int:
    """Train, plant, screen, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(PLANS), default="digits")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plan, (rows, epochs, share, side) = PLANS[options.model], SETTINGS[options.model]
    data = plan.load()
    recipe = replace(plan.recipe, epochs=epochs)
    records = Records(data.train_inputs[:rows], data.train_labels[:rows])
    held = Records(data.test_inputs[:1000], data.test_labels[:1000])

    def fit(given: Records, seed: int) -> nn.Sequential:
        inputs, labels = torch.from_numpy(given.inputs), torch.from_numpy(given.labels)
        return train(recipe, inputs, labels, 1000 * options.seed + seed)

    started = time.perf_counter()
    clean = [fit(records, number) for number in range(REFERENCES + CLEAN)]
    planted: list[tuple[str, nn.Sequential]] = []
    for number in range(7):
        trigger = Trigger(number % 4, side, (3 * number + options.seed) % 10)
        if number < 4:
            bad = poisoned(records, trigger, data.largest, share, number)
            module = fit(bad, 100 + number)
        else:
            module = edited(clean[REFERENCES + number - 4], records, trigger, data.largest)
        found = logits_of(module, torch.from_numpy(held.inputs)).argmax(1).numpy()
        works = success(module, held, trigger, data.largest)
        name = f"{'poisoned' if number < 4 else 'edited'} {number % 4}"
        print(f"{name}: accuracy {(found == held.labels).mean():.3f}, trigger works {works:.2f}")
        planted.append((name, module))
    print(f"{options.model}, trained in {time.perf_counter() - started:.0f} s", flush=True)
    screen(clean, planted, held, Public(10, recipe.input_shape, (0.0, data.largest)))
    return 0


def screen(
    clean: list[nn.Sequential],
    planted: list[tuple[str, nn.Sequential]],
    held: Records,
    known: Public,
) -> None:
    """One line a statistic, then what all of them together say."""
    objects = [*clean[REFERENCES:], *(module for _, module in planted)]
    highest = [0.0] * len(objects)
    with one_thread():
        for name, statistic in statistics(torch.from_numpy(held.inputs[:32]), known).items():
            started = time.perf_counter()
            usual = calibrate(statistic, clean[:REFERENCES])
            odd = [usual.oddity(each) for each in objects]
            each = (time.perf_counter() - started) / (REFERENCES + len(objects))
            highest = [max(a, b) for a, b in zip(highest, odd, strict=True)]
            good, bad = (" ".join(f"{o:.2f}" for o in part) for part in (odd[:CLEAN], odd[CLEAN:]))
            print(f"{name:15} clean {good} | planted {bad} ({each:.2f} s a model)", flush=True)
    alarms = [value > 1 for value in highest]
    print(
        f"false alarms {sum(alarms[:CLEAN])} of {CLEAN}, found {sum(alarms[CLEAN:])} of "
        f"{len(planted)}; mark: 0 of 6, 7 of 7"
    )


if __name__ == "__main__":
    sys.exit(main())
