"""How many extractions the detectors see at one false alarm in a hundred: ``make bench-detection``.

Each *world* is one door with honest organisations and, in test worlds, attackers among them, their
requests mixed at random. A detector's score for an organisation is the highest that it reached; a
threshold is the 99th percentile over the honest organisations of calibration worlds, which are
others than the test worlds. Intervals are Clopper and Pearson's, at 95 %.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import beta

sys.path.insert(0, str(Path(__file__).resolve().parent))

from extraction import images, text_attacks
from extraction.corpus import Corpus
from extraction.text_users import USERS, Texts

from strongroom.gateway.detection.detector import Detector
from strongroom.gateway.detection.interface import DetectionConfig, Rows, Thresholds

SECRET = b"of the benchmark"
FALSE_ALARMS = 0.01
ACCOUNTS = 200
ACCOUNT_PROMPTS = 30
HONEST = 100
ATTACK_WORLDS = 20
IMAGE_ACCOUNTS = 30
IMAGE_ROWS = 96
SILENT = DetectionConfig(thresholds=Thresholds(*[9e9] * 7))

Query = list[int] | Rows
Highest = dict[str, dict[str, float]]


@dataclass
class World:
    """Who sends what: ``queries`` by organisation, and what each organisation is."""

    queries: dict[str, Iterator[Query]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, kind: str, queries: Iterator[Query], count: int) -> None:
        self.queries[name], self.counts[name], self.kinds[name] = queries, count, kind

    def run(self, detector: Detector, by: random.Random) -> tuple[Highest, float]:
        """Each organisation's highest scores, and microseconds a request."""
        order = [name for name, count in self.counts.items() for _ in range(count)]
        by.shuffle(order)
        highest: Highest = defaultdict(dict)
        spent = 0.0
        for number, name in enumerate(order):
            query = next(self.queries[name])
            began = time.perf_counter()
            detector.observe(name, "key", query, number / 10)
            spent += time.perf_counter() - began
            _keep(highest[name], detector.scores(name))
        for cluster in detector._clusters._clusters.values():
            for member in cluster.faithful(detector._clusters.prompts):
                _keep(highest[member], cluster.scores())
        return highest, spent / len(order) * 1e6


def _keep(highest: dict[str, float], scores: dict[str, float]) -> None:
    for kind, score in scores.items():
        highest[kind] = max(score, highest.get(kind, 0.0))


def text_world(texts: Texts, seed: int) -> World:
    by, world = random.Random(seed), World()
    makers = [(kind, maker) for kind, (_, maker) in USERS.items()]
    weights = [weight for weight, _ in USERS.values()]
    for number in range(HONEST):
        kind, maker = by.choices(makers, weights)[0]
        count = int(min(670, max(30, by.lognormvariate(5.3, 0.7))))
        world.add(f"honest {number}", kind, maker(texts, random.Random(by.random())), count)
    return world


def image_world(target: images.Target, seed: int) -> World:
    by, world = np.random.default_rng(seed), World()
    for number in range(HONEST // 2):
        habit = str(by.choice(list(images.HABITS), p=list(images.HABITS.values())))
        count = int(min(670, max(30, by.lognormal(5.3, 0.7))))
        inputs = images.honest(target, habit, count, by)
        world.add(f"honest {number}", habit, rows(target, inputs), count)
    return world


def rows(target: images.Target, inputs: np.ndarray) -> Iterator[Rows]:
    labels = target.labels(inputs)
    for row, label in zip(inputs, labels, strict=True):
        yield Rows(row.astype("<f4").tobytes(), "F32", 1, (int(label),))


@dataclass
class Setting:
    """A model with its users and attackers.

    ``single`` and ``spread`` add one attack to a world. ``awkward``: kinds of honest users who look
    like attackers; thresholds are also calibrated without them. ``kinds``: the detectors at work.
    """

    name: str
    world: Callable[[int], World]
    attacks: tuple[str, ...]
    single: Callable[[World, str, int], None]
    spread: Callable[[World, str, int], None]
    common: list[int]
    kinds: tuple[str, ...]
    awkward: tuple[str, ...]


def text_setting(texts: Texts) -> Setting:
    def single(world: World, name: str, seed: int) -> None:
        maker = text_attacks.ATTACKS[name]
        world.add(name, name, maker(texts, random.Random(f"{name} {seed}")), 670)

    def spread(world: World, name: str, seed: int) -> None:
        stream = text_attacks.ATTACKS[name](texts, random.Random(f"{name} {seed} spread"))
        for account in range(ACCOUNTS):
            world.add(f"{name} {account}", name, stream, ACCOUNT_PROMPTS)

    return Setting(
        "language model", lambda seed: text_world(texts, seed), tuple(text_attacks.ATTACKS),
        single, spread, texts.prompt([]), ("grid", "coverage", "spread", "spread_grid"),
        ("catalogue",),
    )  # fmt: skip


def image_setting(name: str, target: images.Target, kinds: tuple[str, ...]) -> Setting:
    def add(world: World, attack: str, seed: int, accounts: int, each: int) -> None:
        by = np.random.default_rng([seed, accounts, len(attack)])
        stream = rows(target, images.ATTACKS[attack](target, accounts * each, by))
        for account in range(accounts):
            world.add(f"{attack} {account}", attack, stream, each)

    return Setting(
        f"classifier: {name}", lambda seed: image_world(target, seed), tuple(images.ATTACKS),
        lambda world, attack, seed: add(world, attack, seed, 1, 670),
        lambda world, attack, seed: add(world, attack, seed, IMAGE_ACCOUNTS, IMAGE_ROWS),
        [], kinds, ("camera", "repeats"),
    )  # fmt: skip


def interval(found: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's interval at 95 %."""
    low = float(beta.ppf(0.025, found, of - found + 1)) if found else 0.0
    return low, float(beta.ppf(0.975, found + 1, of - found)) if found < of else 1.0


def rate(hits: list[bool]) -> str:
    low, high = interval(sum(hits), len(hits))
    return f"{np.mean(hits):.0%} ({low:.0%} to {high:.0%})"


Scores = dict[str, list[float]]


class Bench:
    """Calibration, test and attacks of one setting. Worlds 0 to n calibrate, n to 2n test."""

    def __init__(self, setting: Setting, worlds: int) -> None:
        self.setting, self.worlds = setting, worlds
        self.times: list[float] = []
        self.who: list[list[str]] = [[], []]
        self.honest: list[Scores] = [{kind: [] for kind in setting.kinds} for _ in range(2)]
        for seed in range(2 * worlds):
            world, highest = self._run(seed, ())
            half = seed // worlds
            self.who[half] += world.kinds.values()
            for name in world.kinds:
                for kind in setting.kinds:
                    self.honest[half][kind].append(highest[name].get(kind, 0.0))
        shipped = {kind: getattr(Thresholds(), kind) for kind in setting.kinds}
        self.limits = {
            "on all": self._limits(()),
            f"without {', '.join(setting.awkward)}": self._limits(setting.awkward),
            "as shipped": shipped,
        }
        self.single = self._attacks(setting.single, together=True)
        self.spread = self._attacks(setting.spread, together=False)

    def _limits(self, without: tuple[str, ...]) -> dict[str, float]:
        kept = [who not in without for who in self.who[0]]
        return {
            kind: float(np.quantile(np.array(values)[kept], 1 - FALSE_ALARMS, method="higher"))
            for kind, values in self.honest[0].items()
        }

    def _run(
        self,
        seed: int,
        attacks: Sequence[str],
        add: Callable[[World, str, int], None] | None = None,
    ) -> tuple[World, Highest]:
        world = self.setting.world(seed)
        for attack in attacks:
            if add is not None:
                add(world, attack, seed)
        detector = Detector(SILENT, common=self.setting.common, secret=SECRET)
        highest, spent = world.run(detector, random.Random(seed))
        self.times.append(spent)
        return world, highest

    def _attacks(
        self, add: Callable[[World, str, int], None], *, together: bool
    ) -> dict[str, Scores]:
        """Of each attack and world, the median of its accounts' scores."""
        attacks = self.setting.attacks
        found = {attack: {kind: [] for kind in self.setting.kinds} for attack in attacks}
        for seed in range(2 * self.worlds, 2 * self.worlds + ATTACK_WORLDS):
            for group in [attacks] if together else [(attack,) for attack in attacks]:
                world, highest = self._run(seed, group, add)
                for attack in group:
                    names = [name for name, kind in world.kinds.items() if kind == attack]
                    names = [name for name in names if not name.startswith("honest")]
                    for kind in self.setting.kinds:
                        scores = [highest[name].get(kind, 0.0) for name in names]
                        found[attack][kind].append(float(np.median(scores)))
        return found

    def show(self) -> None:
        """Print Markdown."""
        kinds = self.setting.kinds
        print(f"\n## {self.setting.name}\n")
        print(f"{len(self.who[0])} honest organisations to calibrate, {len(self.who[1])} to test;")
        print(f"{np.median(self.times):.0f} microseconds a request (median of the worlds' means)")
        for calibrated, limits in self.limits.items():
            without = () if calibrated == "on all" else self.setting.awkward
            print(f"\n### Thresholds {calibrated}\n")
            self._show_false_alarms(limits, without)
            for title, table in (("one account", self.single), ("many accounts", self.spread)):
                print(f"\n| attack, {title} | " + " | ".join(kinds) + " | any |")
                print("|---|" + "---|" * (len(kinds) + 1))
                for attack, scores in table.items():
                    _show_row(attack, scores, limits)

    def _show_false_alarms(self, limits: dict[str, float], without: tuple[str, ...]) -> None:
        test, who = self.honest[1], self.who[1]
        alarms = {kind: np.array(test[kind]) > limits[kind] for kind in limits}
        alarms["any"] = np.any(list(alarms.values()), axis=0)
        kept = [each not in without for each in who]
        print("| detector | threshold | false alarms, test half |\n|---|---|---|")
        for kind, found in alarms.items():
            shown = f"{limits[kind]:.3g}" if kind in limits else ""
            print(f"| {kind} | {shown} | {rate(list(found[kept]))} |")
        print("\nAlarms of any detector, by kind of honest user: ", end="")
        parts = []
        for kind in sorted(set(who)):
            of = alarms["any"][[each == kind for each in who]]
            parts.append(f"{kind} {of.sum()} of {len(of)}")
        print("; ".join(parts) + ".")

    def data(self) -> dict[str, object]:
        """Everything that ROC curves need, and their areas."""
        areas = {
            f"{attack}, {how}": {k: area(scores[k], self.honest[1][k]) for k in scores}
            for how, table in (("one account", self.single), ("many accounts", self.spread))
            for attack, scores in table.items()
        }
        return {
            "thresholds": self.limits, "who": self.who[1], "honest": self.honest[1],
            "one account": self.single, "many accounts": self.spread, "areas": areas,
        }  # fmt: skip


def area(attack: list[float], honest: list[float]) -> float:
    """Area under the ROC curve: how often an attack scores above an honest user; ties are half."""
    ours, theirs = np.array(attack)[:, None], np.array(honest)[None]
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())


def _show_row(attack: str, scores: Scores, limits: dict[str, float]) -> None:
    hits = {kind: [score > limits[kind] for score in values] for kind, values in scores.items()}
    both = [any(hit) for hit in zip(*hits.values(), strict=True)]
    print(f"| {attack} | {' | '.join(rate(hit) for hit in hits.values())} | {rate(both)} |")


def main() -> int:
    """Measure, print Markdown, and write the scores if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10, help="worlds to calibrate, and to test")
    parser.add_argument("--only", choices=["text", "digits", "fashion"])
    parser.add_argument("--roc", type=Path, help="write all scores and areas as JSON")
    options = parser.parse_args()
    data = {}
    for name in [options.only] if options.only else ["text", "digits", "fashion"]:
        if name == "text":
            setting = text_setting(Texts(Corpus()))
        else:  # of 1,797 digits, everybody has the same: comparing organisations says nothing
            kinds = ("distances",) if name == "digits" else ("distances", "outlying", "neighbours")
            setting = image_setting(name, images.target(name), kinds)
        bench = Bench(setting, options.worlds)
        bench.show()
        data[name] = bench.data()
    if options.roc:
        options.roc.write_text(json.dumps(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
