"""Requests for different adapters share steps, and each gets what its merged weights would say."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch

from strongroom.errors import EnvironmentLacks, RequestRefused
from strongroom.keeper.engine import llama_model
from strongroom.keeper.engine.adapter import Adapter, place_shapes, weight_name
from strongroom.keeper.engine.interface import GenerateJob, StepResult
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.keeper.engine.llama_model import native_bf16

from .models import config_bytes, drain, engine_of, make, tokens_of
from .test_no_new_code import FORBID, child

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHAPES = ((4, ALL), (2, ("q_proj", "v_proj")), (7, ("o_proj", "down_proj")), (1, ("gate_proj",)))
LENGTHS = (1, 9, 150, 30, 12)


def adapter_of(model: Any, seed: int, rank: int = 4, modules: tuple[str, ...] = ALL) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    pairs = {
        place: (
            torch.randn(rank, columns, generator=generator) * 0.2,
            torch.randn(rows, rank, generator=generator) * 0.2,
        )
        for place, (rows, columns) in place_shapes(
            parse_llama_config(config_bytes(model)), modules
        ).items()
    }
    return Adapter(rank, modules, 2.0, pairs)


def merged(model: Any, adapter: Adapter) -> Any:
    other = copy.deepcopy(model)
    weights = other.state_dict()
    for place, (a, b) in adapter.pairs.items():
        weights[weight_name(place)] += adapter.scale * (b @ a)
    return other


def job(number: int, adapter: str | None, count: int = 16) -> GenerateJob:
    tokens = random.Random(number).choices(range(3, 199), k=LENGTHS[number % len(LENGTHS)])
    return GenerateJob(number, tuple(tokens), count, 0.0, 1.0, 5, adapter=adapter)


def alone(model: Any, number: int, **settings: Any) -> list[StepResult]:
    engine = engine_of(model, **settings)
    engine.admit(job(number, None))
    return drain(engine)[number]


def served(engine: LlamaEngine, number: int, name: str | None) -> list[int]:
    engine.admit(job(number, name))
    return tokens_of(drain(engine)[number])


@pytest.mark.parametrize("compute", ["float32", "stored"])
@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_a_mixed_batch_says_what_merged_weights_say(kind: str, compute: str) -> None:
    model = make(kind)
    adapters = [adapter_of(model, seed, *shape) for seed, shape in enumerate(SHAPES)]
    engine = engine_of(model, max_streams=5, compute=compute, adapters=True)
    for number, adapter in enumerate(adapters):
        assert engine.load_adapter(f"t{number}", adapter)
    for number in range(len(adapters)):
        engine.admit(job(number, f"t{number}"))
        engine.step()
    engine.admit(job(len(adapters), None))
    found = drain(engine)
    for number, adapter in enumerate(adapters):
        expected = alone(merged(model, adapter), number, compute=compute)
        assert_same(found[number], expected)
        # control: the adapter matters, so equality above says something
        assert tokens_of(expected) != tokens_of(alone(model, number, compute=compute))
    assert_same(found[len(adapters)], alone(model, len(adapters), compute=compute))


def assert_same(found: list[StepResult], expected: list[StepResult]) -> None:
    assert tokens_of(found[-len(expected) :]) == tokens_of(expected)[-len(found) :]
    for mine, theirs in zip(found[::-1], expected[::-1], strict=False):
        assert mine.top_ids == theirs.top_ids
        assert mine.top_logprobs == pytest.approx(theirs.top_logprobs, abs=1e-3)


def test_bf16_kernels_carry_adapters_within_their_own_rounding() -> None:
    """No further from exact float32 than twice what the same kernels' merged bf16 weights are."""
    if not native_bf16():
        pytest.skip("this processor has no bf16 instructions")
    model = make(initializer_range=0.1).bfloat16()
    adapter = adapter_of(model, 3)
    exact = merged(copy.deepcopy(model).float(), adapter)
    rounded = copy.deepcopy(exact).bfloat16()
    engine = engine_of(model, compute="bfloat16", adapters=True)
    assert engine.load_adapter("t", adapter)
    engine.admit(job(1, "t", 1))
    ours = drain(engine)[1][0]
    true = dict(_first(exact, "float32"))
    bare = dict(_first(rounded, "bfloat16"))
    far = max(abs(bare[token] - true[token]) for token in bare.keys() & true.keys())
    near = dict(zip(ours.top_ids, ours.top_logprobs, strict=True))
    shared = near.keys() & true.keys()
    assert len(shared) >= 4
    assert max(abs(near[token] - true[token]) for token in shared) <= max(2 * far, 0.02)


def test_bf16_kernels_are_refused_where_the_processor_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(llama_model, "native_bf16", lambda: False)
    with pytest.raises(EnvironmentLacks) as refused:
        engine_of(make().bfloat16(), compute="bfloat16")
    assert refused.value.code == "keeper.no_native_bf16"
    assert alone(make().bfloat16(), 1, compute="auto")


def _first(model: Any, compute: str) -> list[tuple[int, float]]:
    result = alone(model, 1, compute=compute)[0]
    return list(zip(result.top_ids, result.top_logprobs, strict=True))


def test_hundreds_come_and_go_without_a_restart() -> None:
    model = make()
    engine = engine_of(model, adapters=True)
    bare = served(engine, 1, None)
    for seed in range(300):
        assert engine.load_adapter(f"t{seed}", adapter_of(model, seed, 2, ("q_proj", "v_proj")))
    first, second = served(engine, 1, "t17"), served(engine, 1, "t250")
    assert bare != first != second != bare
    for seed in range(300):
        assert engine.unload_adapter(f"t{seed}")
    assert served(engine, 1, None) == bare
    assert engine.load_adapter("t17", adapter_of(model, 250, 2, ("q_proj", "v_proj")))
    assert served(engine, 1, "t17") == second  # nothing of the name's former adapter is left


def test_a_name_in_use_stays_and_an_unknown_one_is_refused() -> None:
    model = make()
    engine = engine_of(model, adapters=True)
    assert engine.load_adapter("t", adapter_of(model, 1))
    assert not engine.load_adapter("t", adapter_of(model, 2))
    engine.admit(job(1, "t"))
    assert not engine.unload_adapter("t")
    engine.step()
    assert not engine.unload_adapter("t")
    assert engine.cancel(1)
    assert engine.unload_adapter("t")
    assert not engine.unload_adapter("t")
    with pytest.raises(RequestRefused) as refused:
        engine.admit(job(2, "t"))
    assert refused.value.code == "keeper.job_invalid"
    assert not engine_of(model).load_adapter("t", adapter_of(model, 1))


def test_one_adapters_overflow_stays_its_own() -> None:
    """Rows of others are cut out, not multiplied by zero: infinity would go through that."""
    model = make()
    wild = adapter_of(model, 1)
    pairs = {place: (a * 1e30, b * 1e30) for place, (a, b) in wild.pairs.items()}
    engine = engine_of(model, adapters=True)
    assert engine.load_adapter("wild", Adapter(wild.rank, wild.modules, 2.0, pairs))
    engine.admit(job(1, None))
    engine.admit(job(2, "wild"))
    assert tokens_of(drain(engine)[1]) == tokens_of(alone(model, 1))


PREPARE = """
import ctypes, torch
torch.set_num_threads(1)
from keeper.engine.models import drain, engine_of, make
from keeper.engine.test_mixed import adapter_of, job
model = make()
engine = engine_of(model, max_streams=5, adapters=True)
"""
SERVE = """
for number in range(12):
    engine.load_adapter(f"t{number}", adapter_of(model, number))
    engine.admit(job(number, f"t{number}"))
    engine.step()
drain(engine)
print("served")
"""


@pytest.mark.slow
@pytest.mark.parametrize("warm", [True, False])
def test_adapters_loaded_behind_the_walls_need_no_new_code(warm: bool) -> None:
    """Control: without ``warm_up`` the same requests meet the wall."""
    done = child(PREPARE + ("engine.warm_up()\n" if warm else "") + FORBID + SERVE)
    if done.returncode == 77:
        pytest.skip("this kernel has no memory-deny-write-execute")
    assert ("served" in done.stdout) == warm, done.stderr[-2_000:]
