"""What the patrol of weights costs, and how long it takes to find a flipped bit.

One engine of SmolLM2, as it is served. The same work is done with and without the patrol in turns;
what is told is the time that the patrol itself took within it, how the times of neighbouring blocks
compare, and what a whole round takes alone over the seconds it is spread over. Then single bits are
flipped at random places of all that the engine reads, each followed by turns of the loop until the
patrol raises. The clock of that part is moved by hand, half a second a turn as in an idle keeper,
so that hundreds of flips need no hours.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import statistics
import time
from pathlib import Path

import torch
from msgspec.structs import fields
from safetensors.torch import load_file

from strongroom.artifact.arena import Arena
from strongroom.errors import ArtifactRefused
from strongroom.keeper import patrol
from strongroom.keeper.config import KeeperConfig
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob
from strongroom.keeper.patrol import Patrol, seen_at

MODEL = Path.home() / ".cache" / "strongroom" / "smollm2-135m-instruct"
IDLE = 0.5


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path) -> tuple[memoryview, dict[str, torch.Tensor], dict[str, bytes]]:
    """The model in an arena, as ``open_sealed`` lays it out."""
    plain = load_file(folder / "model.safetensors")
    arena = Arena(sum(-(-tensor.nbytes // 64) * 64 for tensor in plain.values())).view
    tensors, at = {}, 0
    for name, tensor in plain.items():
        flat = torch.frombuffer(arena, dtype=tensor.dtype, count=tensor.numel(), offset=at)
        tensors[name] = flat.view(tensor.shape).copy_(tensor)
        at += -(-tensor.nbytes // 64) * 64
    names = ("config.json", "generation_config.json")
    return arena, tensors, {name: (folder / name).read_bytes() for name in names}


class Timed:
    """A patrol that is timed."""

    def __init__(self, watch: Patrol) -> None:
        self._watch, self.took = watch, 0.0

    def look(self) -> None:
        began = time.perf_counter()
        self._watch.look()
        self.took += time.perf_counter() - began


def block(engine: CausalEngine, streams: int, length: int, watch: Timed | None) -> float:
    """Seconds for ``streams`` answers of ``length`` tokens side by side."""
    for job in range(streams):
        engine.admit(GenerateJob(job + 1, (1, 2, 3, 4), length, 1.0, 1.0))
    began = time.perf_counter()
    while engine.active or engine.waiting:
        engine.step()
        if watch is not None:
            watch.look()
    return time.perf_counter() - began


def flips(watch: Patrol, arena: memoryview, clock: Clock, count: int) -> list[float]:
    """Seconds until each of ``count`` flipped bits was found; infinity where it was not."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(arena))
    spans = [(start, len(arena)), *map(patrol._span, watch._held)]
    chance, took = random.Random(1), []
    for _ in range(count):
        address, length = chance.choices(spans, [length for _, length in spans])[0]
        byte = ctypes.c_ubyte.from_address(address + chance.randrange(length))
        bit = 1 << chance.randrange(8)
        byte.value ^= bit
        began, found = clock.now, float("inf")
        while clock.now - began < 120:
            clock.now += IDLE
            try:
                watch.look()
            except ArtifactRefused:
                found = clock.now - began
                break
        byte.value ^= bit
        took.append(found)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--flips", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    arena, tensors, files = opened(given.model)
    digests = seen_at(arena)
    engine = build_engine(files, tensors, max_streams=given.streams)
    assert isinstance(engine, CausalEngine)
    engine.warm_up()
    field = next(each for each in fields(KeeperConfig) if each.name == "patrol_seconds")
    seconds = float(str(field.default))
    clock = Clock()
    whole = Patrol(arena, digests, engine, seconds, clock)
    clock.now += seconds
    began = time.perf_counter()
    whole.look()
    alone = time.perf_counter() - began
    print(f"watched: {whole.watched / 1e6:.0f} MB, {len(whole._held)} tensors beside the arena")
    print(f"a round: {alone * 1e3:.0f} ms in {seconds} s, {alone / seconds:.2%} of one core")
    engine._ends = frozenset()  # type: ignore[attr-defined]  # all answers have one length
    watch, lost, spent = Timed(Patrol(arena, digests, engine, seconds)), [], 0.0
    for number in range(given.blocks):
        took = {}
        for watched in (number % 2 == 0, number % 2 == 1):
            took[watched] = block(engine, given.streams, given.length, watch if watched else None)
        lost.append(took[True] / took[False] - 1)
        spent += took[True]
    tokens = given.blocks * given.streams * given.length
    print(f"steps: {tokens / spent:.1f} tokens a second with the patrol")
    print(f"patrol's share of the time of serving: {watch.took / spent:.3%}")
    low, middle, high = statistics.quantiles(lost, n=4)
    print(
        f"time with against without, {given.blocks} pairs: median {middle:+.2%}, "
        f"quartiles {low:+.2%} and {high:+.2%}"
    )
    waits = flips(whole, arena, clock, given.flips)
    missed = sum(each == float("inf") for each in waits)
    print(
        f"flips: {len(waits)}, missed {missed}, found after {statistics.median(waits):.1f} s "
        f"(median), {max(waits):.1f} s (longest)"
    )


if __name__ == "__main__":
    main()
