"""What the guards of tuning cost in quality: held-out perplexity beside PEFT without any.

The same weights, corpus (the project's documentation), rank and modules, several seeds each:

- ``guarded``: ``tune.job.Job`` under ``tune.policy``'s limits, on data that meet the floors; A from
  a secret seed; the service's AdamW; read in the form in which it leaves (SVD of B A, bf16);
- ``equal steps``: PEFT with the same steps, batch and rate;
- ``equal tokens`` (with ``--equal-tokens``): PEFT with small batches and as many more steps, so
  that it sees as much text, at the better of two usual rates (2e-4 and 1e-3, chosen by the held-out
  texts: PEFT is given that).

The floor of conversations a step is ``--batch`` (the policy's own is 256), that of tokens learnt a
step is reduced in proportion; the others are the policy's own. Every adapter is read by the same
code over the same held-out texts, from pages that nothing was trained on. Ratios are of ours to
PEFT's mean; the mark is at most 1.02.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.peers import interpreter
from benchmarks.tuning import (
    DEFAULT_MODEL,
    ROOT,
    cores,
    examples_of,
    pages,
    passages,
    perplexity,
    weights,
)
from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.adapter import peft_names, place_shapes
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.tune.dataset import keep_distinct, require_floors
from strongroom.tune.export.factors import exported
from strongroom.tune.forward import Decoder
from strongroom.tune.job import Job
from strongroom.tune.policy import Floors, Policy, Wish, grant

PEER = ROOT / "benchmarks" / "contenders" / "utility_peft.py"
USUAL_RATES = (2e-4, 1e-3)
HELD = 32


def pairs_of(tensors: dict[str, Any], places: list[str]) -> dict[str, Any]:
    """Low-rank matrices by place, of a file in PEFT's format."""
    return {place: tuple(tensors[name].float() for name in peft_names(place)) for place in places}


def peft_runs(given: argparse.Namespace, small: int) -> list[dict[str, Any]]:
    """What PEFT is asked for: name, batch, steps, rate, seed."""
    longer = given.steps * given.batch // small
    runs = []
    rates = USUAL_RATES if given.equal_tokens else ()
    for seed in range(given.seeds):
        runs.append(("equal steps", given.batch, given.steps, given.rate, seed))
        runs += [(f"equal tokens {rate:g}", small, longer, rate, seed) for rate in rates]
    return [
        {"name": f"{kind} {seed}", "kind": kind, "batch": batch, "steps": steps, "rate": rate}
        | {"seed": seed}
        for kind, batch, steps, rate, seed in runs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--batch", type=int, default=256, help="conversations a guarded step")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--length", type=int, default=16, help="tokens of a text")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--equal-tokens", action="store_true")
    parser.add_argument("--small", type=int, default=0, help="PEFT's batch at equal tokens")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    small = given.small or max(1, given.batch // 16)

    config = parse_llama_config((given.model / "config.json").read_bytes())
    tensors = weights(given.model)
    every = pages()
    held = passages(given.model, 48, every[::5])[:HELD]
    learnt = passages(given.model, given.length, [p for p in every if p not in every[::5]])
    floor = Floors(
        distinct_per_step=given.batch,
        supervised_per_step=min(1_000, given.batch * (given.length - 1)),
    )
    wish = Wish(rank=given.rank, modules=MODULES, rate=given.rate, steps=given.steps)
    recipe = grant(wish, Policy(floors=floor))
    distinct = keep_distinct(examples_of(learnt), floor.fresh_runs)
    texts = distinct[: given.steps * given.batch]
    require_floors(texts, len(texts), floor)

    places = list(place_shapes(config, MODULES))
    decoder = Decoder(config, tensors)
    said: dict[str, list[float]] = {"base": [perplexity(decoder, {}, held)]}
    print(json.dumps({"texts": len(texts), "held": len(held), "base": said["base"][0]}), flush=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        data = Path(folder) / "texts.json"
        data.write_text(json.dumps([example.ids for example in texts]))
        runs = peft_runs(given, small)
        asked = {"model": str(given.model), "data": str(data), "out": folder, "runs": runs}
        asked |= {"rank": given.rank, "modules": MODULES, "threads": given.threads}
        command = [interpreter("peft"), str(PEER), json.dumps(asked)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:  # beside ours
            for _ in range(given.seeds):
                began = cores()
                job = Job(config, tensors, texts, recipe)
                while not job.done:
                    job.advance()
                took = cores() - began
                plain = perplexity(decoder, dict(job.adapter.pairs), held)
                left = perplexity(decoder, pairs_of(exported(job.adapter.pairs), places), held)
                said.setdefault("guarded, before export", []).append(plain)
                said.setdefault("guarded", []).append(left)
                print("guarded", round(plain, 3), round(left, 3), f"{took:.0f} core-s", flush=True)
            told, _ = peer.communicate()
        if peer.returncode:
            raise SystemExit("PEFT's process failed")
        took_by_name = json.loads(told.splitlines()[-1])
        for run in runs:
            found = load_file(Path(folder) / run["name"] / "adapter_model.safetensors")
            value = perplexity(decoder, pairs_of(found, places), held)
            said.setdefault(run["kind"], []).append(value)
            print(run["name"], round(value, 3), f"{took_by_name[run['name']]:.0f} core-s")

    for kind, values in said.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{kind:24} {statistics.mean(values):8.2f}  ({spread}, n = {len(values)})")
    ours = said["guarded"]
    tokens = [kind for kind in said if kind.startswith("equal tokens")]
    usual = sorted(tokens, key=lambda kind: statistics.mean(said[kind]))[:1]
    for kind in ("equal steps", *usual):
        middle = statistics.mean(said[kind])
        ratios = [value / middle for value in ours]
        print(
            f"guarded over {kind}: {statistics.mean(ratios):.4f} "
            f"({min(ratios):.4f} to {max(ratios):.4f})"
        )


if __name__ == "__main__":
    main()
