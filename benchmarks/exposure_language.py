"""Attacks on language models beside their peers: ``python benchmarks/exposure_language.py WHAT``.

``base``: base recovery from merged adapters against Spectral DeTuning; ``releases``: the same on
real fine-tunes. ``layer``: hidden size and final layer of SmolLM2. ``canaries``: looks a canary,
exposure by copies. ``suffix``: our suffix search against nanogcg and against random search on
log-probabilities.

Each is one thread (set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1), interleaved rounds,
core-seconds; medians and ranges, ratios round by round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import interpreter

from strongroom.exposure.attacks.language.canary_exposure import CanaryExposure
from strongroom.exposure.attacks.language.final_layer import FinalLayer, head_of, sampled_tokens
from strongroom.exposure.attacks.language.low_rank import recover
from strongroom.exposure.attacks.language.questions import Secret
from strongroom.exposure.attacks.language.random_suffix import RandomSuffix
from strongroom.exposure.attacks.language.scene import Scene
from strongroom.exposure.attacks.language.spectral_detuning import detune
from strongroom.exposure.attacks.language.suffix import greedy_coordinate_gradient, plain_tokens
from strongroom.exposure.attacks.language.suffix_search import filler
from strongroom.exposure.demo.language import (
    demo_goals,
    demo_lessons,
    ensure_demo_language,
    read_module,
    read_releases,
    read_tokenizer,
)
from strongroom.exposure.interface import Budget, Knowledge, Knows
from strongroom.exposure.judge.facts import Truth, relative_error
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language

HERE = Path(__file__).resolve().parent
PLENTY = Budget(10**7, 3600.0)


def told(values: Sequence[float], form: str = ".3g") -> str:
    """Median and range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}}-{high:{form}})"


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def base(rounds: int) -> None:
    """576 x 576, three merges, rank 16, float32, one drawn set a round.

    Spectral DeTuning takes 100 steps: about as few as bring it below 1e-6.
    """
    ours, theirs, ratios, errors, others = [], [], [], [], []
    for number in range(rounds):
        by = np.random.default_rng(number)
        truth = by.standard_normal((576, 576)) * 0.05
        merges = [
            (truth + by.standard_normal((576, 16)) @ by.standard_normal((16, 576)) * 3e-3).astype(
                np.float32
            )
            for _ in range(3)
        ]
        began = time.process_time()
        found = recover(merges)
        mine = time.process_time() - began
        began = time.process_time()
        check = detune(merges, 16, steps=100)
        other = time.process_time() - began
        ours.append(mine)
        theirs.append(other)
        ratios.append(other / mine)
        errors.append(error(found.base, truth) if found else float("inf"))
        others.append(error(check, truth))
    print("closed form, core-seconds", told(ours), "relative error", told(errors))
    print("Spectral DeTuning, core-seconds", told(theirs), "relative error", told(others))
    print("times as fast, per round", told(ratios))


def releases(rounds: int) -> None:
    """The demonstration's three real fine-tunes, once."""
    from strongroom.exposure.attacks.language.merged_adapters import by_weight
    from strongroom.exposure.demo.language import base_folder

    known = dict(read_module(base_folder()).named_parameters())
    errors, exact, silent = [], [], 0
    began = time.process_time()
    for name, merges in by_weight(read_releases(ensure_demo_language())).items():
        found = recover(merges)
        if found is None:
            silent += 1
            continue
        truth = known[name].detach()
        errors.append(error(found.base, truth.double().numpy()))
        rounded = torch.from_numpy(found.base).float().to(torch.bfloat16)
        exact.append(float((rounded == truth.to(torch.bfloat16)).double().mean()))
    spent = time.process_time() - began
    print(
        f"three real fine-tunes: {len(errors)} weights recovered in {spent:.2f} core-seconds, "
        f"{silent} not; relative error {told(errors)}; share of entries that are the public "
        f"base's to the bit after rounding to bfloat16 {told(exact, '.6f')}"
    )


def layer(rounds: int) -> None:
    """Full logits in process, float32 and bfloat16 answers."""
    from strongroom.exposure.demo.language import base_folder

    module, tokenizer = read_module(base_folder()), read_tokenizer(base_folder())
    model = LanguageModel(module, tokenizer, (), 2048)
    sizes, errors, seconds = [], [], []
    for number in range(rounds):
        target = open_language(model, Rung.LOGITS, PLENTY)
        began = time.process_time()
        claim = FinalLayer().run(target, Knowledge(Knows.NOTHING), PLENTY, number)[-1]
        seconds.append(time.process_time() - began)
        sizes.append(claim.facts.get("hidden_size"))
        truth = head_of(module, sampled_tokens(model.vocabulary, 1400, number))
        if "final_layer" in claim.facts:
            wanted = Truth(truth, up_to_map=True)
            errors.append(relative_error(claim.facts["final_layer"], wanted))
    print("hidden sizes", sizes, "queries", claim.queries, "core-seconds", told(seconds))
    print("relative error of 1,400 tokens' rows", told(errors, ".2g"))
    rounded = _Rounded(open_language(model, Rung.LOGITS, PLENTY))
    claim = FinalLayer(queries=1000).run(rounded, Knowledge(Knows.NOTHING), PLENTY, 0)[-1]
    print("bfloat16 answers, 1,000 queries:", claim.facts.get("hidden_size"))


class _Rounded:
    """A target whose answers are rounded to bfloat16."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.spent = target.spent

    def next_logits(self, rows: Any) -> np.ndarray:
        return torch.from_numpy(self._target.next_logits(rows)).bfloat16().float().numpy()


def canaries(rounds: int) -> None:
    """The demonstration's model; one seed, its canaries are the repetitions."""
    folder = ensure_demo_language()
    model = LanguageModel(read_module(folder), read_tokenizer(folder), (), 2048)
    known = Knowledge(Knows.NOTHING, public={"tokenizer": model.tokenizer})
    by_copies: dict[int, list[tuple[float, bool, int]]] = {}
    for canary in demo_lessons().canaries:
        target = open_language(model, Rung.LOGITS, PLENTY)
        asked = Knowledge(known.level, [Secret(canary.prefix, canary.secret)], public=known.public)
        (claim,) = CanaryExposure().run(target, asked, PLENTY, 0)
        bits = float(np.log2(claim.space) - np.log2(claim.ranks[0] + 1))
        row = bits, claim.exact[0], target.spent().queries
        by_copies.setdefault(canary.repeats, []).append(row)
    for copies, rows in sorted(by_copies.items()):
        exact = [queries for _, sure, queries in rows if sure]
        print(
            f"{copies:2} copies: exposure {told([bits for bits, *_ in rows])} of 19.9 bits, "
            f"{len(exact)} of {len(rows)} exact, queries {told(exact, '.0f') if exact else '-'}"
        )


def suffix(rounds: int, seconds: float, width: int) -> None:
    """The same goals, start and core-seconds for all; tokens counted where they can be."""
    folder = ensure_demo_language()
    module, tokenizer = read_module(folder), read_tokenizer(folder)
    allowed = plain_tokens(tokenizer)
    ratios, gains = [], []
    for number in range(rounds):
        goal = demo_goals()[number % 3]
        scene = Scene(module, tokenizer, goal)
        start = filler(scene, 12)
        began, first = time.process_time(), None
        steps = greedy_coordinate_gradient(scene, start, allowed, width=24, top=64, seed=number)
        for count, step in enumerate(steps):  # noqa: B007
            first = step.loss if first is None else first
            if time.process_time() - began > seconds:
                break
        ours = (first - step.loss) / (time.process_time() - began)
        theirs = _nanogcg(
            folder, goal, scene.text(start)[len(goal.question) :], seconds, width, number
        )
        target = open_language(LanguageModel(module, tokenizer, (), 2048), Rung.LOGITS, PLENTY)
        asked = Knowledge(Knows.NOTHING, [goal], public={"tokenizer": tokenizer})
        search = RandomSuffix(tokens=scene.tokens)
        began = time.process_time()
        (claim,) = search.run(target, asked, PLENTY, number)
        blind = time.process_time() - began
        after = Scene(module, tokenizer, goal)
        reached = float(
            after.losses(torch.tensor([after.ids(claim.prompts[0][len(goal.question) :])]))
        )
        ratios.append(ours / theirs["rate"] if theirs["rate"] > 0 else float("inf"))
        gains.append((first - step.loss, first - reached))
        print(
            f"goal {number % 3}: ours {first:.2f} -> {step.loss:.2f} in {count} steps, "
            f"{scene.tokens} tokens; nanogcg {theirs['first']:.2f} -> {theirs['last']:.2f} in "
            f"{theirs['steps']} steps, {theirs['seconds']:.0f} s; random search at our tokens "
            f"-> {reached:.2f} in {blind:.0f} s",
            flush=True,
        )
    print("loss drop per core-second over nanogcg's, per round", told(ratios))
    print(
        "drop with gradients", told([a for a, _ in gains]), "without", told([b for _, b in gains])
    )


def _nanogcg(
    folder: Path, goal: Any, start: str, seconds: float, width: int, seed: int
) -> dict[str, float]:
    asked = {
        "folder": str(folder), "question": goal.question, "answer": goal.answer, "start": start,
        "seconds": seconds, "width": width, "top": 64, "seed": seed,
    }  # fmt: skip
    script = HERE / "contenders" / "suffix_nanogcg.py"
    said = subprocess.run(
        [interpreter("nanogcg"), str(script), json.dumps(asked)], check=True, capture_output=True
    )
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    return found | {"rate": (found["first"] - found["last"]) / found["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["base", "releases", "layer", "canaries", "suffix"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="core-seconds a suffix search")
    parser.add_argument("--width", type=int, default=32, help="nanogcg's search width")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "suffix":
        suffix(asked.rounds, asked.seconds, asked.width)
    else:
        parts = {"base": base, "releases": releases, "layer": layer, "canaries": canaries}
        parts[asked.what](asked.rounds)


if __name__ == "__main__":
    main()
