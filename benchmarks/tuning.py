"""Training tokens a core-second: our loop against PEFT and transformers' Trainer on the same job.

Same weights, same conversations, same rank, modules, batch and rate, one process each with the same
threads. Ours is ``tune.job.Job`` as the training process runs it (without walls, which cost nothing
here: benchmarks/lockdown.py). PEFT gets its own best arrangement: bf16 weights, batches padded to
their longest and grouped by length, no evaluation, no saving, no logging. Tokens are those of the
conversations, padding not counted; core-seconds are processor time of the whole process.

``--perplexity`` instead trains ten steps of rank 16 on a documentation corpus and says what that
does to pages that were held out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from benchmarks.peers import interpreter
from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.tune.dataset import Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from strongroom.tune.policy import Recipe

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_MODEL = Path.home() / ".cache" / "strongroom" / "smollm2-135m-instruct"
PEER = ROOT / "benchmarks" / "contenders" / "tuning_peft.py"
RANK, RATE, BATCH = 16, 2e-3, 16


def pages() -> list[Path]:
    """The corpus: the project's own documentation."""
    return sorted((ROOT / "docs").glob("*.md"))


def passages(model: Path, length: int, corpus: list[Path], *, spread: int = 0) -> list[list[int]]:
    """Pages as runs of ``length`` tokens, or of up to ``spread`` fewer, in a fixed disorder."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    by = random.Random(5)
    found = []
    for page in corpus:
        ids = tokenizer.encode(page.read_text(encoding="utf-8")).ids
        at = 0
        while len(ids) - at >= length:
            size = length - by.randrange(spread + 1)
            found.append(ids[at : at + size])
            at += length
    by.shuffle(found)
    return found


def examples_of(texts: list[list[int]]) -> list[Example]:
    """Every token but the first is learnt."""
    return [Example(tuple(ids), (False, *[True] * (len(ids) - 1))) for ids in texts]


def recipe(steps: int, batch: int = BATCH) -> Recipe:
    """The job that both do."""
    return Recipe(
        rank=RANK, modules=MODULES, rate=RATE, steps=steps, batch=batch, least_steps=steps
    )


def ours(model: Path, texts: list[list[int]], steps: int) -> dict[str, float]:
    """Tokens and core-seconds of ``steps`` steps after one that is not measured."""
    config = parse_llama_config((model / "config.json").read_bytes())
    job = Job(config, weights(model), examples_of(texts), recipe(steps + 1))
    job.advance()
    began, tokens, wall = cores(), 0, time.perf_counter()
    for _ in range(steps):
        tokens += sum(len(example.ids) for example in job._batch())
        loss = job.advance()
    return {
        "tokens": tokens,
        "core_seconds": cores() - began,
        "seconds": time.perf_counter() - wall,
        "loss": loss,
    }


def cores() -> float:
    """Processor seconds of this process so far, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def weights(model: Path) -> dict[str, torch.Tensor]:
    """The model's tensors in bfloat16."""
    return {
        name: value.to(torch.bfloat16)
        for name, value in load_file(model / "model.safetensors").items()
    }


def peft(model: Path, data: Path, steps: int, threads: int) -> dict[str, float]:
    """The same in PEFT's environment."""
    asked = {
        "model": str(model),
        "data": str(data),
        "steps": steps,
        "threads": threads,
        "rank": RANK,
        "rate": RATE,
        "batch": BATCH,
        "modules": MODULES,
    }
    command = [interpreter("peft"), str(PEER), json.dumps(asked)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def perplexity(decoder: Decoder, pairs: dict, texts: list[list[int]]) -> float:  # type: ignore[type-arg]
    """Of texts under the base with ``pairs``."""
    total, count = 0.0, 0
    with torch.no_grad():
        for at in range(0, len(texts), 8):
            examples = examples_of(texts[at : at + 8])
            rows = rows_of([(example.ids, example.learnt) for example in examples])
            total += float(decoder.loss(rows, pairs))
            count += len(rows.wanted)
    return math.exp(total / count)


def lowered(model: Path, steps: int = 10, batch: int = 8, held_out: int = 16) -> dict[str, float]:
    """Perplexity of held-out pages before and after so many steps, and the seconds it took.

    ``idle_after`` is that of an adapter that has not learnt yet.
    """
    began, used = time.perf_counter(), cores()
    config = parse_llama_config((model / "config.json").read_bytes())
    tensors = weights(model)
    every = pages()
    kept = passages(model, 128, every[::5])[:held_out]
    learnt = passages(model, 128, [page for page in every if page not in every[::5]])
    decoder = Decoder(config, tensors)
    before = perplexity(decoder, {}, kept)
    job = Job(config, tensors, examples_of(learnt), recipe(steps, batch))
    idle = perplexity(decoder, dict(job.adapter.pairs), kept[:2])
    while not job.done:
        job.advance()
    return {
        "before": before,
        "after": perplexity(decoder, dict(job.adapter.pairs), kept),
        "idle_before": perplexity(decoder, {}, kept[:2]),
        "idle_after": idle,
        "seconds": time.perf_counter() - began,
        "core_seconds": cores() - used,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--length", type=int, default=192, help="longest text; a third shorter too")
    parser.add_argument("--perplexity", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.perplexity:
        found = lowered(arguments.model)
        share = 1 - found["after"] / found["before"]
        print(json.dumps({**found, "lowered_by": share}))
        return
    texts = passages(arguments.model, arguments.length, pages(), spread=arguments.length // 3)
    data = Path("/dev/shm") / f"strongroom-tuning-{id(texts)}.json"
    data.write_text(json.dumps(texts))
    rates: dict[str, list[float]] = {"strongroom": [], "peft + Trainer": []}
    try:
        for number in range(arguments.rounds):
            turns = [
                ("strongroom", lambda: ours(arguments.model, texts, arguments.steps)),
                (
                    "peft + Trainer",
                    lambda: peft(arguments.model, data, arguments.steps, arguments.threads),
                ),
            ]
            for label, run in turns if number % 2 == 0 else turns[::-1]:
                found = run()
                rates[label].append(found["tokens"] / found["core_seconds"])
                print(label, {name: round(value, 3) for name, value in found.items()})
    finally:
        data.unlink()
    middle = {label: statistics.median(found) for label, found in rates.items()}
    for label, rate in middle.items():
        print(f"{label:16} {rate:8.1f} tokens a core-second (median of {arguments.rounds})")
    print(f"ratio {middle['strongroom'] / middle['peft + Trainer']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
