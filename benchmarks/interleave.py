"""Run contenders interleaved, each time in a fresh process, and tell medians, spread, ratios."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from peers import interpreter

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("STRONGROOM_BENCH_CACHE", Path.home() / ".cache" / "strongroom-bench"))


@dataclass
class Contender:
    """One line of the table: which script, which interpreter, which command."""

    label: str
    script: str
    peer: str
    command: str
    seconds: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    digest: str = ""


def checkpoint(gigabytes: float) -> Path:
    """A folder with one bf16 checkpoint of about that size, made once (random, seeded)."""
    folder = CACHE / f"checkpoint-{gigabytes:g}"
    target = folder / "model.safetensors"
    if not target.exists():
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(7)
        hidden, inner = 2048, 5632
        layer = {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (256, hidden),
            "self_attn.v_proj": (256, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        per_layer = 2 * sum(s[0] * (s[1] if len(s) == 2 else 1) for s in layer.values())
        embedding = (32_000, hidden)
        layers = max(1, round((gigabytes * 1e9 - 2 * 2 * 32_000 * hidden) / per_layer))
        tensors = {
            f"model.layers.{i}.{n}.weight": s for i in range(layers) for n, s in layer.items()
        }
        tensors |= {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
        made = {n: torch.randn(s, dtype=torch.float32).bfloat16() for n, s in tensors.items()}
        save_file(made, str(target.with_suffix(".part")))
        target.with_suffix(".part").rename(target)
        (folder / "config.json").write_text('{"model_type": "llama"}')
    return target


def call(contender: Contender, command: str, model: Path, work: Path, backing: int = 0) -> dict:
    done = subprocess.run(
        [
            interpreter(contender.peer),
            str(HERE / "contenders" / contender.script),
            command,
            str(model),
            str(work),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **({"STRONGROOM_BENCH_BACKING": str(backing)} if backing else {})},
    )
    if done.returncode:
        sys.exit(f"{contender.label}: {command} failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}


def warm(folder: Path) -> None:
    """Read every file once, so that all contenders find a warm page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                while handle.read(1 << 24):
                    pass


def run(contenders: list[Contender], title: str, baseline: str) -> None:
    """The whole bench: prepare, interleave, compare the contents, print, write JSON."""
    arguments = argparse.ArgumentParser(description=title)
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--size", type=float, default=1.5, help="gigabytes")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument(
        "--cold-memory",
        action="store_true",
        help="do not have the machine back free memory before each load (see contenders/common.py)",
    )
    options = arguments.parse_args()
    model = checkpoint(options.size)
    backing = 0 if options.cold_memory else int(1.2 * model.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=CACHE) as scratch:
        works: dict[str, Path] = {}
        for contender in contenders:
            if contender.script not in works:
                works[contender.script] = Path(scratch) / Path(contender.script).stem
                works[contender.script].mkdir()
                call(contender, "prepare", model, works[contender.script])
        warm(model.parent)
        warm(Path(scratch))
        for turn in range(options.runs):
            # Rotated, so that nobody always runs after the same neighbour.
            shift = turn % len(contenders)
            for contender in contenders[shift:] + contenders[:shift]:
                seen = call(contender, contender.command, model, works[contender.script], backing)
                contender.seconds.append(seen["seconds"])
                contender.peak.append(seen.get("peak_added", 0))
                contender.digest = seen.get("digest", "")
    digests = {c.digest for c in contenders if c.digest}
    if len(digests) > 1:
        sys.exit(f"contents differ: {[(c.label, c.digest) for c in contenders]}")
    tell(contenders, title, baseline, model, options)


def tell(contenders: list[Contender], title: str, baseline: str, model: Path, options) -> None:
    size = model.stat().st_size
    base = next(c for c in contenders if c.label == baseline)
    print(f"{title}: {size / 1e9:.2f} GB, {options.runs} interleaved runs, {os.cpu_count()} cores")
    header = ("contender", "median s", "min–max s", "GB/s", "peak/size", "ratio (min–max)")
    print("{:36} {:>9} {:>15} {:>6} {:>9} {:>18}".format(*header))
    rows = []
    for c in contenders:
        middle = statistics.median(c.seconds)
        ratios = [theirs / ours for theirs, ours in zip(c.seconds, base.seconds, strict=True)]
        row = {
            "label": c.label,
            "seconds": c.seconds,
            "median": middle,
            "peak_over_size": max(c.peak) / size,
            "ratio_to_baseline": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
        rows.append(row)
        print(
            f"{c.label:36} {middle:9.3f} {min(c.seconds):7.3f}–{max(c.seconds):<7.3f}"
            f" {size / 1e9 / middle:6.2f} {row['peak_over_size']:9.3f}"
            f" {row['ratio_to_baseline']:8.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        )
    print(
        f"ratio: the contender's time over that of '{baseline}', per round; above 1 we are faster"
    )
    if options.json:
        about = {"title": title, "bytes": size, "machine": platform.processor(), "rows": rows}
        options.json.write_text(json.dumps(about, indent=1))
