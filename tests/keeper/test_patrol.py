"""One flipped bit, wherever the engine reads, is found within a round; nothing else is."""

from __future__ import annotations

import ctypes
import json
import random
import textwrap
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from blake3 import blake3

from strongroom.artifact.arena import Arena
from strongroom.boundary.frames import Done, Fault, Generate, Sampling
from strongroom.errors import ArtifactRefused
from strongroom.keeper import patrol
from strongroom.keeper.engine.classifier import SmallClassifier, parse_classifier_config
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob
from strongroom.keeper.engine.llama_model import Compute, native_bf16
from strongroom.keeper.patrol import Patrol, seen_at

from .tiny import CONFIG, shapes, write_tiny_llama
from .world import Home, keeper

ROUND = 10.0
PACKED: tuple[Compute, ...] = ("float32", "bfloat16")
FORMS: tuple[Compute, ...] = (*PACKED, "stored", "auto")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A tiny Llama in an arena of its own, and a patrol of it."""

    def __init__(self, compute: Compute, dtype: torch.dtype) -> None:
        if compute == "bfloat16" and not native_bf16():
            pytest.skip("this processor has no bf16 instructions")
        places, size = {}, 0
        for name, shape in shapes().items():
            places[name] = (size, shape)
            size += -(-int(np.prod(shape)) * dtype.itemsize // 64) * 64
        self.arena = Arena(size).view
        tensors = {
            name: torch.frombuffer(self.arena, dtype=dtype, count=int(np.prod(s)), offset=at)
            .view(s)
            .copy_(0.2 * torch.randn(s))
            for name, (at, s) in places.items()
        }
        opened = seen_at(self.arena)
        files = {"config.json": json.dumps(CONFIG).encode()}
        engine = build_engine(files, tensors, max_streams=2, compute=compute)
        assert isinstance(engine, CausalEngine)
        self.engine, self.clock = engine, Clock()
        engine.warm_up()
        self.patrol = Patrol(self.arena, opened, engine, ROUND, self.clock)

    def rounds(self, count: float) -> None:
        """Let time pass as the loop does: in small turns."""
        for _ in range(int(count * 40)):
            self.clock.now += ROUND / 40
            self.patrol.look()

    def answer(self) -> list[int | None]:
        self.engine.admit(GenerateJob(1, (5, 6, 7), 8, 0.0, 1.0))
        tokens = []
        while self.engine.active or self.engine.waiting:
            tokens += [result.token for result in self.engine.step()]
        return tokens


@pytest.fixture(scope="module", params=FORMS)
def watched(request: pytest.FixtureRequest) -> Watched:
    return Watched(request.param, torch.bfloat16)


def flip(address: int, bit: int) -> None:
    ctypes.c_ubyte.from_address(address + bit // 8).value ^= 1 << bit % 8


def regions(watched: Watched) -> list[tuple[int, int]]:
    """Address and length of the arena and of all that the engine holds beside it."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(watched.arena))
    return [(start, len(watched.arena)), *map(patrol._span, watched.patrol._held)]


def matrices(thing: object) -> Iterator[torch.Tensor]:
    """Every tensor below the layers and the head, found by another way than the patrol's."""
    for value in vars(thing).values():
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, torch.Tensor):
                yield part
            elif type(part).__name__.endswith(("Layer", "Head")):
                yield from matrices(part)


def test_all_that_the_engine_multiplies_with_is_watched(watched: Watched) -> None:
    spans = regions(watched)
    found = [patrol._span(tensor) for tensor in matrices(watched.engine._model)]  # type: ignore[attr-defined]
    assert len(found) > 10
    for address, length in found:
        assert any(start <= address and address + length <= start + n for start, n in spans)
    assert watched.patrol.watched == sum(length for _, length in spans)


def test_any_flipped_bit_is_found_within_a_round(watched: Watched) -> None:
    chance = random.Random(3)
    spans = regions(watched)
    for start, length in spans:
        for bit in (0, 8 * length - 1, chance.randrange(8 * length)):
            watched.rounds(chance.random())
            flip(start, bit)
            with pytest.raises(ArtifactRefused) as caught:
                watched.rounds(1.05)
            assert caught.value.code == "keeper.weights_altered"
            flip(start, bit)
    watched.rounds(2)  # and once it is flipped back, all is as it was


def test_serving_changes_nothing_that_is_watched(watched: Watched) -> None:
    before = watched.answer()
    watched.rounds(1.5)
    assert watched.answer() == before
    watched.rounds(1.5)


@pytest.mark.parametrize("compute", PACKED)
def test_a_bit_in_a_packed_copy_is_not_in_the_arena(compute: Compute) -> None:
    """Why the arena alone would not do."""
    watched = Watched(compute, torch.bfloat16)
    opened = blake3(watched.arena).digest()
    before = watched.answer()
    head = next(t for t in reversed(watched.patrol._held) if t.is_mkldnn)
    address, length = patrol._span(head)
    ctypes.memset(address, 0x41, length)
    assert watched.answer() != before
    assert blake3(watched.arena).digest() == opened
    with pytest.raises(ArtifactRefused):
        watched.rounds(1.05)


def test_the_hour_finds_what_checksums_of_a_lost_key_would_not() -> None:
    watched = Watched("stored", torch.float32)
    minute, _ = watched.patrol._rounds
    minute._digest = lambda number, _chunk: minute._known[number]
    watched.rounds(3)
    watched.arena[100] ^= 4
    watched.rounds(3)
    watched.clock.now += patrol.HOUR
    with pytest.raises(ArtifactRefused):
        watched.patrol.look()


def test_what_changed_while_the_engine_was_built_is_not_served() -> None:
    arena = Arena(3 * patrol.CHUNK + 5).view
    opened = seen_at(arena)
    Patrol(arena, opened, object(), ROUND)
    arena[-1] ^= 1
    with pytest.raises(ArtifactRefused) as caught:
        Patrol(arena, opened, object(), ROUND)
    assert caught.value.code == "keeper.weights_altered"


def test_a_loop_that_slept_catches_up_with_one_round() -> None:
    arena = Arena(5 * patrol.CHUNK).view
    clock = Clock()
    watching = Patrol(arena, seen_at(arena), object(), ROUND, clock)
    clock.now += 1000 * ROUND
    began = time.perf_counter()
    watching.look()
    assert time.perf_counter() - began < 1
    arena[4 * patrol.CHUNK] ^= 128
    clock.now += 1000 * ROUND
    with pytest.raises(ArtifactRefused):
        watching.look()


def test_a_classifiers_copies_are_watched() -> None:
    layers = [{"type": "linear", "name": "last", "features": 2}]
    config = parse_classifier_config(
        json.dumps(
            {
                **{"model_type": "strongroom-classifier", "input_dtype": "F32"},
                **{"input_shape": [4], "input_range": [0.0, 1.0], "input_mean": 0.0},
                **{"input_std": 1.0, "labels": ["a", "b"], "layers": layers},
            }
        ).encode()
    )
    tensors = {"last.weight": torch.ones(2, 4).half(), "last.bias": torch.zeros(2).half()}
    engine, clock = SmallClassifier(config, tensors), Clock()
    watching = Patrol(Arena(0).view, [], engine, ROUND, clock)
    assert watching.watched == 4 * (8 + 2)
    engine._tensors["last.weight"][1, 2] += 1
    clock.now += ROUND
    with pytest.raises(ArtifactRefused):
        watching.look()


FLIPPED = """
    import ctypes, os, random, sys
    from strongroom.keeper import __main__, patrol, process
    seen = []
    make, lock = process.Patrol, process.lockdown.lock
    def remembered(*given):
        seen.append(make(*given))
        return seen[0]
    def locked(*given, **named):
        walls = lock(*given, **named)
        if "{where}":
            address, length = patrol._span(random.choice(
                [t for t in seen[0]._held if t.is_mkldnn == ("{where}" == "packed")]))
            byte = ctypes.c_ubyte.from_address(address + random.randrange(length))
            byte.value ^= 1 << random.randrange(8)
        return walls
    process.Patrol, process.lockdown.lock = remembered, locked
    sys.argv = ["keeper", "--config-fd", sys.argv[1]]
    os._exit(__main__.main())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("patrolled")
    made = Home.make(folder, write_tiny_llama(folder / "plain"))
    made.changes = {"keeper": {"patrol_seconds": 1}}
    return made


def asked(number: int) -> Generate:
    return Generate(number, "acme", (5, 6), 4, Sampling(temperature=0.0))


def test_a_bit_flipped_in_a_live_keeper_behind_its_walls_ends_it(home: Home) -> None:
    with keeper(home, ["-c", textwrap.dedent(FLIPPED.format(where="packed"))]) as running:
        running.greeting()
        began = time.monotonic()
        last = running.until(Fault)[-1]
        with pytest.raises(EOFError):
            running.receive()
        assert time.monotonic() - began < 3
        assert last.code == "keeper.weights_altered"
        status, error = running.end()
    assert status == 3
    assert error is not None
    assert error["error"] == "keeper.weights_altered"


def test_a_live_keeper_whose_bits_stay_serves_on(home: Home) -> None:
    with keeper(home, ["-c", textwrap.dedent(FLIPPED.format(where=""))]) as running:
        running.greeting()
        assert running.silent(2.2)  # more than two rounds
        running.send(asked(1))
        assert running.until(Done)[-1].completion_tokens > 0
