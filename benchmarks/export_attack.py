"""One real job by the rules and one unguarded step: what the gate's own attacks say of both.

Both are trained on the real model by the real loop; also told is what the exported form costs in
held-out loss. What 10,000 jobs tell together is simulated in ``export_sequences``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tuning import DEFAULT_MODEL, examples_of, pages, passages, weights
from strongroom.keeper.engine.adapter import peft_names
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.export import behaviour, oracle, scan
from strongroom.tune.export.factors import exported
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from strongroom.tune.policy import Recipe

STEPS, BATCH, RATE = 20, 256, 2e-4


def one_step(config: LlamaConfig, tensors: Any, token: int, rank: int) -> Any:
    """An adapter after one plain step on one token."""
    start = fresh(config, ("q_proj", "v_proj"), rank, Seed())
    pairs = {
        p: (a.requires_grad_(True), b.requires_grad_(True)) for p, (a, b) in start.pairs.items()
    }
    rows = rows_of([((token, token + 1), (False, True))])
    Decoder(config, tensors, start.scale).loss(rows, pairs).backward()
    moved = {p: (a.detach(), (b - 0.1 * b.grad).detach()) for p, (a, b) in pairs.items()}
    return replace(start, pairs=moved)


def real(model: Path, steps: int) -> dict[str, Any]:
    """One job of each kind under the gate's attacks."""
    config = parse_llama_config((model / "config.json").read_bytes())
    tensors = weights(model)
    texts = passages(model, 24, pages(), spread=8)
    held, data = examples_of(texts[:64]), examples_of(texts[64:])
    recipe = Recipe(
        rank=8, modules=("q_proj", "v_proj"), rate=RATE, steps=steps, batch=BATCH, least_steps=20
    )
    began = time.perf_counter()
    job = Job(config, tensors, data, recipe)
    while not job.done:
        job.advance()
    trained_in = time.perf_counter() - began
    adapter = job.adapter
    leaving = exported(adapter.pairs)
    form = {
        place: tuple(leaving[name].float() for name in peft_names(place)) for place in adapter.pairs
    }
    decoder = Decoder(config, tensors, adapter.scale)

    def loss(pairs: Any) -> float:
        found = behaviour.losses(decoder, held, pairs)
        return sum(found) / len(found)

    limit = ExportLimits()
    probes = [at * config.vocab_size // limit.probes for at in range(limit.probes)]
    began = time.perf_counter()
    said = {
        "rules": _told(config, tensors, adapter, probes),
        "unguarded": _told(config, tensors, one_step(config, tensors, probes[700], 8), probes),
        "unguarded_token_not_probed": _told(
            config, tensors, one_step(config, tensors, probes[700] + 5, 8), probes
        ),
    }
    return said | {
        "train_seconds": trained_in,
        "attack_seconds": (time.perf_counter() - began) / 3,
        "flags": sum(bool(each.flag) for each in scan.scan(adapter, tensors)),
        "held_base": loss({}),
        "held_trained": loss(adapter.pairs),
        "held_exported": loss(form),
    }


def _told(config: LlamaConfig, tensors: Any, adapter: Any, probes: list[int]) -> dict[str, Any]:
    read = [each.cosine for each in oracle.read(config, tensors, adapter, probes)]
    known = [each for each in read if each is not None]
    ratios = oracle.ratios(adapter)
    return {
        "most": max(known),
        "median": float(np.median(known)),
        "unjudged": len(read) - len(known),
        "above_limit": sum(each > 0.05 for each in known),
        "places": len(read),
        "ratios": [round(float(each), 3) for each in np.quantile(ratios, (0, 0.25, 0.5, 0.75, 1))],
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the real job")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(real(asked.model, asked.steps), indent=2))


if __name__ == "__main__":
    main()
