"""Tokens a second and time to first token: our engine against ``transformers.generate``.

Same weights, same prompts, same number of threads, one process, greedy, end tokens ignored. Every
round runs all contenders once, in rotated order, after one unmeasured call each. Two scenarios:

* together: N requests are there at once. transformers runs them as one static batch.
* staggered: 16 requests arrive at fixed intervals. Ours share steps as they come; transformers
  takes all that wait as one batch whenever it is free, which is the best it can do by itself.

``--vllm`` adds vLLM's CPU build, eager, in a process of its own (its environment takes minutes to
install). ``strongroom auto`` is what is served; ``strongroom float32`` is its packed form only, and
``strongroom stored`` the sealed weights where they lie, without copies.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import GenerateJob

DEFAULT_MODEL = Path.home() / ".cache" / "strongroom" / "smollm2-135m-instruct"
Prompts = list[list[int]]


@dataclass
class Seen:
    """One run: tokens a second, seconds to the first token (mean over requests), mean latency."""

    rate: float
    first: float
    latency: float


@dataclass
class Contender:
    """``run(prompts, new_tokens, interval)`` serves the prompts and says what was seen."""

    label: str
    run: Callable[[Prompts, int, float], Seen]
    seen: dict[str, list[Seen]] = field(default_factory=dict)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def summary(arrived: list[float], first: list[float], done: list[float], tokens: int) -> Seen:
    count = len(arrived)
    return Seen(
        rate=tokens / (max(done) - min(arrived)),
        first=sum(a - b for a, b in zip(first, arrived, strict=True)) / count,
        latency=sum(a - b for a, b in zip(done, arrived, strict=True)) / count,
    )


def ours(folder: Path, compute: Any, streams: int) -> Callable[[Prompts, int, float], Seen]:
    """Our engine over tensors of its own mapping of the file."""
    files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    # Without end tokens every request yields exactly the tokens asked for.
    for name in ("config.json", "generation_config.json"):
        if name in files:
            files[name] = json.dumps(json.loads(files[name]) | {"eos_token_id": None}).encode()
    engine: Any = build_engine(
        files, load_file(folder / "model.safetensors"), max_streams=streams, compute=compute
    )
    engine.warm_up()

    def run(prompts: Prompts, new: int, interval: float) -> Seen:
        start = time.perf_counter()
        arrived = [start + interval * number for number in range(len(prompts))]
        first, done = [0.0] * len(prompts), [0.0] * len(prompts)
        coming, produced = 0, 0
        while not all(done):
            while coming < len(prompts) and arrived[coming] <= time.perf_counter():
                engine.admit(GenerateJob(coming, tuple(prompts[coming]), new, 0.0, 1.0))
                coming += 1
            if not engine.active and not engine.waiting:
                time.sleep(0.001)
            for result in engine.step():
                now = time.perf_counter()
                if result.token is not None:
                    produced += 1
                    first[result.id] = first[result.id] or now
                if result.finished:
                    done[result.id] = now
        return summary(arrived, first, done, produced)

    return run


def theirs(folder: Path, dtype: torch.dtype) -> Callable[[Prompts, int, float], Seen]:
    """transformers, at its defaults but for greedy decoding and a fixed length."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    class Clock(transformers.generation.streamers.BaseStreamer):
        """Notes when the first new tokens come; the first call hands over the prompt."""

        def __init__(self) -> None:
            self.calls, self.first = 0, 0.0

        def put(self, value: Any) -> None:
            self.calls += 1
            if self.calls == 2:
                self.first = time.perf_counter()

        def end(self) -> None:
            pass

    def batch(prompts: Prompts, new: int) -> tuple[float, float, int]:
        ids, clock = torch.tensor(prompts), Clock()
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                streamer=clock if len(prompts) == 1 else None,
            )
        done = time.perf_counter()
        return clock.first, done, int(out.shape[0] * (out.shape[1] - ids.shape[1]))

    def run(prompts: Prompts, new: int, interval: float) -> Seen:
        start = time.perf_counter()
        arrived = [start + interval * number for number in range(len(prompts))]
        first: list[float] = []
        done: list[float] = []
        produced = 0
        while len(done) < len(prompts):
            now = time.perf_counter()
            ready = [n for n in range(len(done), len(prompts)) if arrived[n] <= now]
            if not ready:
                time.sleep(0.001)
                continue
            began, finished, count = batch([prompts[n] for n in ready], new)
            produced += count
            # generate() streams single requests only; a batch's tokens are there at its end.
            first += [began or finished] * len(ready)
            done += [finished] * len(ready)
        return summary(arrived, first, done, produced)

    return run


def vllm(folder: Path) -> Callable[[Prompts, int, float], Seen]:
    """vLLM, through its worker; it answers with its own clock's times."""
    import peers

    script = Path(__file__).parent / "contenders" / "vllm_engine.py"
    worker = subprocess.Popen(
        [peers.interpreter("vllm"), str(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if worker.stdin is None or worker.stdout is None or worker.stdout.readline() != "ready\n":
        raise SystemExit("vLLM's worker did not start; what it printed says why")
    asking, answering = worker.stdin, worker.stdout
    atexit.register(asking.close)

    def run(prompts: Prompts, new: int, interval: float) -> Seen:
        print(json.dumps({"prompts": prompts, "new": new, "interval": interval}), file=asking)
        asking.flush()
        return summary(**json.loads(answering.readline()))

    return run


def first_of_batch(contender: Contender, prompts: Prompts) -> float:
    """Seconds until all of a batch have a first token: a run of one token each."""
    return contender.run(prompts, 1, 0.0).latency


def make_prompts(count: int, length: int, vocabulary: int) -> Prompts:
    numbers = random.Random(11)
    return [numbers.choices(range(100, vocabulary), k=length) for _ in range(count)]


def contenders(folder: Path, options: argparse.Namespace) -> tuple[list[Contender], dict[str, int]]:
    """All of them, and the resident bytes that each added once it had run."""
    makers: dict[str, Callable[[], Callable[[Prompts, int, float], Seen]]] = {
        "strongroom auto": lambda: ours(folder, "auto", 16),
        "transformers bf16": lambda: theirs(folder, torch.bfloat16),
    }
    if not options.quick:
        makers |= {
            "strongroom float32": lambda: ours(folder, "float32", 16),
            "strongroom stored": lambda: ours(folder, "stored", 16),
            "transformers float32": lambda: theirs(folder, torch.float32),
        }
    if options.vllm:
        makers["vLLM, eager"] = lambda: vllm(folder)
    made, added = [], {}
    for label, make in makers.items():
        gc.collect()
        before = resident()
        contender = Contender(label, make())
        contender.run(make_prompts(2, options.prompt, 1_000), 4, 0.0)
        if not label.startswith("vLLM"):  # it lives in a process of its own
            added[label] = resident() - before
        made.append(contender)
    return made, added


def measure(made: list[Contender], options: argparse.Namespace) -> None:
    """All rounds of all scenarios."""
    together = {n: make_prompts(n, options.prompt, 40_000) for n in options.streams}
    staggered = make_prompts(16, options.prompt, 40_000)
    for turn in range(options.runs):
        shift = turn % len(made)
        for name, prompts in together.items():
            for contender in made[shift:] + made[:shift]:
                seen = contender.run(prompts, options.new, 0.0)
                seen.first = first_of_batch(contender, prompts)
                contender.seen.setdefault(f"{name} together", []).append(seen)
                note(turn, f"{name} together", contender, seen)
        for contender in made[shift:] + made[:shift]:
            seen = contender.run(staggered, options.new, options.interval)
            contender.seen.setdefault("16 staggered", []).append(seen)
            note(turn, "16 staggered", contender, seen)


def note(turn: int, scenario: str, contender: Contender, seen: Seen) -> None:
    """Progress on standard error: a whole run takes a quarter of an hour on two cores."""
    line = f"round {turn + 1}: {scenario}, {contender.label}: {seen.rate:.1f} tokens/s"
    print(line, file=sys.stderr, flush=True)


def tell(made: list[Contender], added: dict[str, int], options: argparse.Namespace) -> None:
    """Medians, spread and ratios to ``transformers bf16``, round by round."""
    base = next(c for c in made if c.label == "transformers bf16")
    print(
        f"engine: {options.prompt} prompt + {options.new} new tokens, {options.runs} interleaved "
        f"runs, {options.threads} threads"
    )
    header = ("scenario", "contender", "tokens/s", "min–max", "first s", "latency s", "ratio")
    print("{:12} {:22} {:>8} {:>15} {:>8} {:>9} {:>20}".format(*header))
    rows = []
    for scenario in base.seen:
        for c in made:
            seen = c.seen[scenario]
            rates = [s.rate for s in seen]
            ratios = [s.rate / b.rate for s, b in zip(seen, base.seen[scenario], strict=True)]
            row = {
                "scenario": scenario,
                "label": c.label,
                "rates": rates,
                "tokens_per_second": statistics.median(rates),
                "first": statistics.median(s.first for s in seen),
                "latency": statistics.median(s.latency for s in seen),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
            }
            rows.append(row)
            print(
                f"{scenario:12} {c.label:22} {row['tokens_per_second']:8.1f} "
                f"{min(rates):7.1f}–{max(rates):<7.1f} {row['first']:8.3f} {row['latency']:9.2f} "
                f"{row['ratio']:8.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            )
    for label, size in added.items():
        print(f"{label:22} added {size / 1e6:6.0f} MB resident")
    if options.json:
        about = {"title": "engine", "options": vars(options), "resident": added, "rows": rows}
        options.json.write_text(json.dumps(about, indent=1, default=str))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("STRONGROOM_TEST_MODEL", DEFAULT_MODEL)
    parser.add_argument("--model", type=Path, default=Path(default))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--prompt", type=int, default=32, help="tokens of each prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens of each answer")
    parser.add_argument("--interval", type=float, default=0.15, help="seconds between arrivals")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="only the first two contenders")
    parser.add_argument("--vllm", action="store_true", help="vLLM too, in its own environment")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    made, added = contenders(options.model, options)
    measure(made, options)
    tell(made, added, options)


if __name__ == "__main__":
    main()
