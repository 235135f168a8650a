"""What a watermark costs, in time and in quality, and how soon it is found.

Time: drawing one token with each mark and without, at temperature 1: from eight rows of made-up
logits again and again, and in the answers below.
Strength: answers of the engine to plain questions, and for each number of tokens the median z and
the share that is found at p < 1e-3 by the tenant's key; beside it the share of all answers,
marked or not, that some other tenant's key finds at that p (false alarms).
Quality: mean log-probability, under the model itself, of the tokens that were drawn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from strongroom.keeper.engine import llama
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob
from strongroom.keeper.engine.sampling import Setting, choose
from strongroom.watermark.detect import detect
from strongroom.watermark.interface import Scheme
from strongroom.watermark.kgw import Greens
from strongroom.watermark.marks import Marks
from strongroom.watermark.synthid import Coins

MODEL = Path.home() / ".cache" / "strongroom" / "smollm2-135m-instruct"
SCHEMES: tuple[Scheme | None, ...] = (None, "kgw", "synthid")
FOUND = 1e-3
TOPICS = (
    *("the sea", "bread", "old maps", "trains", "bees", "a lighthouse", "chess", "volcanoes"),
    *("the moon", "gardens", "clocks", "bridges", "salt", "winter", "libraries", "kites"),
)


def engine_of(folder: Path, streams: int) -> CausalEngine:
    tensors = load_file(folder / "model.safetensors")
    files = {"config.json": (folder / "config.json").read_bytes()}
    engine = build_engine(files, tensors, max_streams=streams, context_length=512)
    engine._ends = frozenset()  # type: ignore[attr-defined]  # all answers have one length
    engine.warm_up()
    assert isinstance(engine, CausalEngine)
    return engine


class Likely:
    """Stands for ``choose`` and adds up how likely the drawn tokens were."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.took = 0.0

    def __call__(self, logits: torch.Tensor, settings: list[Setting]) -> list[int]:
        told = torch.log_softmax(logits, -1)
        began = time.perf_counter()
        tokens = choose(logits, settings)
        self.took += time.perf_counter() - began
        self.told += [float(told[row, token]) for row, token in enumerate(tokens)]
        return tokens

    def mean(self) -> str:
        """With its standard error, over blocks of neighbours, which depend on one another."""
        size = max(len(self.told) // 32, 1)
        means = [statistics.mean(self.told[at : at + size]) for at in range(0, size * 32, size)]
        return f"{statistics.mean(means):.3f} ± {statistics.stdev(means) / 32**0.5:.3f}"


def answers(
    engine: CausalEngine, prompts: list[tuple[int, ...]], marks: Marks, length: int
) -> tuple[list[list[int]], Likely]:
    """One for each prompt, and how likely their tokens were."""
    llama.choose = likely = Likely()  # type: ignore[assignment]
    told: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts, 1):
        mark = marks.begin("acme", prompt[-1])
        engine.admit(GenerateJob(number, prompt, length, 1.0, 1.0, mark=mark))
        told[number] = []
    while engine.active or engine.waiting:
        for result in engine.step():
            if result.token is not None:
                told[result.id].append(result.token)
    llama.choose = choose
    return list(told.values()), likely


def drawing(vocabulary: int, scheme: Scheme | None, turns: int) -> float:
    """Milliseconds for one token; the median of turns."""
    chance = torch.Generator().manual_seed(1)
    rows = [4 * torch.randn(1, vocabulary, generator=chance) for _ in range(8)]
    tenants: dict[str, Scheme] = {"acme": scheme} if scheme else {}
    mark = Marks(bytes(32), tenants, vocabulary).begin("acme", 1)
    took = []
    for turn in range(turns):
        began = time.perf_counter()
        choose(rows[turn % 8], [(1.0, 1.0, None, mark)])
        took.append(time.perf_counter() - began)
    return 1e3 * statistics.median(took)


def processors(vocabulary: int) -> list[tuple[str, float]]:
    """Milliseconds of transformers' processors for one row of scores, beside drawing itself."""
    from transformers import SynthIDTextWatermarkingConfig, WatermarkLogitsProcessor

    greens, coins = Greens(bytes(32), "acme", vocabulary), Coins(bytes(32), "acme")
    config: Any = SynthIDTextWatermarkingConfig(**coins.settings())
    found = []
    for name, processor in (
        ("kgw", WatermarkLogitsProcessor(vocabulary, "cpu", **greens.settings())),
        ("synthid", config.construct_processor(vocabulary, "cpu")),
    ):
        took = []
        for turn in range(12):
            scores, ids = torch.randn(1, vocabulary), torch.tensor([[turn, turn + 1]])
            began = time.perf_counter()
            processor(ids, scores)
            took.append(time.perf_counter() - began)
        found.append((name, 1e3 * statistics.median(took)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--answers", type=int, default=2, help="to each question")
    parser.add_argument("--only-time", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = 0.0
    for scheme in SCHEMES:
        took = drawing(49_152, scheme, 2_000)
        base = base or took
        print(f"drawing, {scheme or 'no mark'}: {took:.3f} ms a token, {took - base:+.3f}")
    if given.only_time:
        for name, took in processors(49_152):
            print(f"transformers' {name}: {took:.2f} ms a token")
        return
    engine = engine_of(given.model, given.streams)
    tokenizer = Tokenizer.from_file(str(given.model / "tokenizer.json"))
    asked = "<|im_start|>user\nWrite about {}.<|im_end|>\n<|im_start|>assistant\n"
    prompts = [tuple(tokenizer.encode(asked.format(topic)).ids) for topic in TOPICS] * given.answers
    secret, vocabulary = os.urandom(32), engine.vocab_size
    written = {}
    for scheme in SCHEMES:
        tenants: dict[str, Scheme] = {"acme": scheme} if scheme else {}
        marks = Marks(secret, tenants, vocabulary)
        written[scheme], likely = answers(engine, prompts, marks, given.length)
        print(
            f"answers, {scheme or 'no mark'}: mean log-probability {likely.mean()}, "
            f"drawing {1e3 * likely.took / len(likely.told):.3f} ms a token",
            flush=True,
        )
    for scheme in ("kgw", "synthid"):
        for length in (25, 50, 80, 100, 150, 200):
            own = [
                detect(secret, "acme", scheme, text[:length], vocabulary)
                for text in written[scheme]
            ]
            alarms = [
                detect(secret, f"other {number}", scheme, text[:length], vocabulary).p < FOUND
                for texts in written.values()
                for number, text in enumerate(texts)
            ]
            print(
                f"{scheme}, {length} tokens: z {statistics.median(e.z for e in own):.1f}, "
                f"found {sum(e.p < FOUND for e in own)} of {len(own)}, "
                f"false alarms {sum(alarms)} of {len(alarms)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
