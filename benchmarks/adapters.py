"""Tokens a core-second where requests for different adapters share steps.

``PYTHONPATH=. python benchmarks/adapters.py [--rounds 5] [--adapters 8] [--every-module]``

Eight requests at once, greedy, of one length, over the same base:

- ``mixed``: our engine, each request through another adapter;
- ``single``: our engine, all through the same adapter;
- ``bare``: our engine, no adapter: what adapters cost at all;
- ``PEFT bfloat16``, ``PEFT float32``: ``adapter_names``, each row another adapter, in a process and
  an environment of its own; which type is faster depends on the processor.

Core-seconds are processor time of the whole process, of the answers alone: loading and warming up
are left out everywhere. Adapters are random; what is computed does not depend on their numbers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import time
from pathlib import Path

import torch

from benchmarks.peers import interpreter
from benchmarks.tuning import DEFAULT_MODEL, ROOT, cores, weights
from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.adapter import Adapter, place_shapes
from strongroom.keeper.engine.interface import GenerateJob
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config

PEER = ROOT / "benchmarks" / "contenders" / "adapters_peft.py"
ROWS, PROMPT, TOKENS, RANK = 8, 32, 32, 16
Found = dict[str, float]


def adapter(config: LlamaConfig, modules: tuple[str, ...], seed: int) -> Adapter:
    """Random matrices, as large as a trained one's."""
    by = torch.Generator().manual_seed(seed)
    pairs = {
        place: (
            torch.randn(RANK, columns, generator=by) / columns**0.5,
            torch.randn(rows, RANK, generator=by) * 0.01,
        )
        for place, (rows, columns) in place_shapes(config, modules).items()
    }
    return Adapter(RANK, modules, 2.0, pairs)


def ours(engine: LlamaEngine, prompts: list[list[int]], names: list[str | None]) -> Found:
    """One batch to its end."""
    began, wall, tokens = cores(), time.perf_counter(), 0
    for number, (prompt, name) in enumerate(zip(prompts, names, strict=True), 1):
        engine.admit(GenerateJob(number, tuple(prompt), TOKENS, 0.0, 1.0, adapter=name))
    while engine.active or engine.waiting:
        tokens += sum(result.token is not None for result in engine.step())
    return {
        "tokens": tokens,
        "core_seconds": cores() - began,
        "seconds": time.perf_counter() - wall,
    }


def peft(
    given: argparse.Namespace, prompts: list[list[int]], modules: tuple[str, ...], kind: str
) -> Found:
    """The same in PEFT's environment."""
    asked = {
        "type": kind,
        "model": str(given.model),
        "prompts": prompts,
        "tokens": TOKENS,
        "adapters": given.adapters,
        "modules": modules,
        "rank": RANK,
        "threads": given.threads,
    }
    command = [interpreter("peft"), str(PEER), json.dumps(asked)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every-module", action="store_true", help="not q_proj and v_proj only")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    modules = MODULES if given.every_module else ("q_proj", "v_proj")
    config = parse_llama_config((given.model / "config.json").read_bytes())
    engine = LlamaEngine(
        config,
        weights(given.model),
        max_streams=ROWS,
        context_length=256,
        eos_token_ids=(),
        adapters=True,
    )
    engine.warm_up()
    names = [f"acme/{number}" for number in range(given.adapters)]
    for seed, name in enumerate(names):
        engine.load_adapter(name, adapter(config, modules, seed))
    by = random.Random(1)
    prompts = [by.choices(range(100, 40_000), k=PROMPT) for _ in range(ROWS)]
    mixed: list[str | None] = [names[row % len(names)] for row in range(ROWS)]
    turns = {
        "mixed": lambda: ours(engine, prompts, mixed),
        "single": lambda: ours(engine, prompts, [names[0]] * ROWS),
        "bare": lambda: ours(engine, prompts, [None] * ROWS),
        "PEFT bfloat16": lambda: peft(given, prompts, modules, "bfloat16"),
        "PEFT float32": lambda: peft(given, prompts, modules, "float32"),
    }
    ours(engine, prompts, mixed)
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(given.rounds):
        order = list(turns)
        order = order[number % len(order) :] + order[: number % len(order)]
        for name in order:
            found = turns[name]()
            rates[name].append(found["tokens"] / found["core_seconds"])
            print(name, {key: round(value, 2) for key, value in found.items()}, flush=True)
    for name, rate in rates.items():
        print(f"{name}: {statistics.median(rate):.1f} ({min(rate):.1f}-{max(rate):.1f}) a core-s")
    for name in [name for name in turns if name != "mixed"]:
        ratios = [one / other for one, other in zip(rates["mixed"], rates[name], strict=True)]
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        print(f"mixed over {name}: {middle:.2f} ({least:.2f}-{most:.2f})")


if __name__ == "__main__":
    main()
