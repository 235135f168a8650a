"""Membership advantage against epsilon: what private training takes from an attacker.

A small random decoder is tuned on conversations of random tokens, by ``tune.job.Job`` as the
training process runs it. Nothing can be learnt of them but each one itself, so this is the worst
case for membership. The attacker has whole losses, of the adapter and of the base, and takes their
difference (the best of the attacks in docs/measurement.md); his threshold is set on one half of the
records and judged on the other. Three rows stand beside one another:

    none        trained without privacy: the attack works (positive control)
    epsilon     trained privately, the noise of the owner's policy for that epsilon
    null        the same attack between two sets of which neither was trained on

The bound is what (epsilon, delta) allows any attacker: (e^epsilon - 1 + 2 delta) / (e^epsilon + 1).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.report.svg import Axis
from strongroom.tune.dataset import Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from strongroom.tune.ledger import made_private
from strongroom.tune.policy import Dp, Recipe

SIZES = {
    "vocab_size": 200,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.15,
}
DELTA, CLIP = 1e-3, 0.5


@dataclass(frozen=True)
class Row:
    """Advantages over seeds at one epsilon, infinite without privacy."""

    epsilon: float
    found: list[float]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.mean(self.found)


def base(seed: int) -> tuple[LlamaConfig, dict[str, torch.Tensor]]:
    """A small decoder with random weights."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    tensors = {name: value.detach() for name, value in model.state_dict().items()}
    return parse_llama_config(json.dumps(model.config.to_dict()).encode()), tensors


def conversations(count: int, seed: int, length: int = 16) -> list[Example]:
    """Random tokens, all but the first learnt."""
    drawn = np.random.default_rng(seed).integers(3, SIZES["vocab_size"], (count, length))
    learnt = (False, *[True] * (length - 1))
    return [Example(tuple(map(int, row)), learnt) for row in drawn]


def losses(decoder: Decoder, pairs: dict, examples: Sequence[Example]) -> np.ndarray:  # type: ignore[type-arg]
    """Of each conversation."""
    with torch.no_grad():
        rows = [rows_of([(each.ids, each.learnt)]) for each in examples]
        return np.array([float(decoder.loss(row, pairs)) for row in rows])


def advantage(members: np.ndarray, others: np.ndarray) -> float:
    """True less false positives of one half at the threshold that is best on the other."""
    found = []
    for first in (0, 1):
        seen_in, seen_out = members[first::2], others[first::2]
        tried = np.concatenate((seen_in, seen_out))
        gains = [np.mean(seen_in >= at) - np.mean(seen_out >= at) for at in tried]
        at = tried[int(np.argmax(gains))]
        found.append(np.mean(members[1 - first :: 2] >= at) - np.mean(others[1 - first :: 2] >= at))
    return float(np.mean(found))


def tuned(epsilon: float, seed: int, count: int, steps: int) -> tuple[float, float, float]:
    """Advantage, its null, and the mean loss that members are left with."""
    config, tensors = base(seed)
    members, others, more = (conversations(count, 10 * seed + each) for each in range(3))
    recipe = Recipe(
        rank=8, modules=MODULES, rate=1e-2, steps=steps, batch=count // 4, least_steps=1
    )
    if epsilon < math.inf:
        recipe = made_private(
            recipe, count, Dp(epsilon=epsilon, budget=1000, delta=DELTA, clip=CLIP), None
        )
    job = Job(config, tensors, members, recipe)
    while not job.done:
        job.advance()
    decoder, pairs = Decoder(config, tensors, job.adapter.scale), dict(job.adapter.pairs)

    def scores(examples: list[Example]) -> np.ndarray:
        return losses(decoder, {}, examples) - losses(decoder, pairs, examples)

    inside, outside, stranger = map(scores, (members, others, more))
    left = float(np.mean(losses(decoder, pairs, members))) / members[0].supervised
    return advantage(inside, outside), advantage(stranger, outside), left


def bound(epsilon: float) -> float:
    """The largest advantage that any attacker can have."""
    return (
        1.0 if math.isinf(epsilon) else (math.expm1(epsilon) + 2 * DELTA) / (math.exp(epsilon) + 1)
    )


def plot(rows: Sequence[Row], null: float) -> str:
    """Advantage over epsilon, bars over seeds, the bound dashed, the null dotted; SVG."""
    width, height, left, foot = 520, 320, 60, 270
    bare, private = rows[0], rows[1:]
    low, high = private[-1].epsilon, private[0].epsilon
    x = Axis(low / 1.6, high * 1.6, left, width - 16, logarithmic=True)
    y = Axis(-0.2, 1.0, foot, 16)
    drawn = []

    def line(points: Sequence[tuple[float, float]], colour: str, dashes: str = "none") -> None:
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-dasharray="{dashes}" points="{path}"/>'
        )

    def text(a: float, b: float, words: str, anchor: str = "middle") -> None:
        drawn.append(f'<text x="{a:.0f}" y="{b:.0f}" text-anchor="{anchor}">{words}</text>')

    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        line([(x.low, value), (x.high, value)], "#ddd")
        text(left - 8, y.at(value) + 4, f"{value:g}", "end")
    along = [low * (high / low) ** (k / 60) for k in range(61)]
    line([(each, bound(each)) for each in along], "#888", "6 4")
    line([(x.low, bare.mean), (x.high, bare.mean)], "#b33")
    line([(x.low, null), (x.high, null)], "#888", "2 3")
    line([(row.epsilon, row.mean) for row in private], "#147")
    for row in private:
        line([(row.epsilon, min(row.found)), (row.epsilon, max(row.found))], "#147")
        text(x.at(row.epsilon), foot + 16, f"{row.epsilon:g}")
    text(left + 4, y.at(bare.mean) + 14, "without privacy", "start")
    text(left + 4, y.at(null) + 14, "null", "start")
    text(x.at(low), y.at(bound(low)) - 8, "bound")
    text(width / 2, foot + 40, "epsilon (up: membership advantage)")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(drawn)}</svg>"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[64, 32, 16, 8, 4, 1])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--records", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--plot", type=Path, default=Path("dp-membership.svg"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    rows, nulls = [], []
    print(f"{'epsilon':>8} {'advantage':>10} {'over seeds':>16} {'bound':>6} {'loss':>6}")
    for epsilon in (math.inf, *sorted(arguments.epsilons, reverse=True)):
        runs = [
            tuned(epsilon, 1 + seed, arguments.records, arguments.steps)
            for seed in range(arguments.seeds)
        ]
        row = Row(epsilon, [run[0] for run in runs])
        nulls += [run[1] for run in runs]
        rows.append(row)
        spread = f"{min(row.found):.3f} to {max(row.found):.3f}"
        loss = statistics.mean(run[2] for run in runs)
        print(f"{epsilon:8g} {row.mean:10.3f} {spread:>16} {bound(epsilon):6.3f} {loss:6.2f}")
    null = statistics.mean(nulls)
    print(f"{'null':>8} {null:10.3f} {f'{min(nulls):.3f} to {max(nulls):.3f}':>16}")
    arguments.plot.write_text(plot(rows, null))
    print(f"plot: {arguments.plot}; {time.process_time() - began:.0f} core-seconds")


if __name__ == "__main__":
    main()
