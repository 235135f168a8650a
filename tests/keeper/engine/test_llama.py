"""The engine says what transformers says, whatever shares its steps."""

from __future__ import annotations

import math
import random

import pytest
import torch

from strongroom.errors import RequestRefused
from strongroom.keeper.engine.interface import GenerateJob

from .models import drain, engine_of, greedy, make, reference, tokens_of

VARIANTS = {
    "llama": ("Llama", {}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "one key head for each": ("Llama", {"num_key_value_heads": 6}),
    "own head size": ("Llama", {"head_dim": 16}),
    "biases": ("Llama", {"attention_bias": True}),
    "linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 5_000.0}},
    ),
    "llama3": (
        "Llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "rope_theta": 10_000.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "qwen2": ("Qwen2", {}),
    "mistral": ("Mistral", {"sliding_window": None}),
}


def prompt(length: int, seed: int = 0) -> list[int]:
    return random.Random(seed).choices(range(3, 199), k=length)


@pytest.mark.parametrize("compute", ["float32", "stored"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_tokens_are_those_of_transformers(variant: str, compute: str) -> None:
    kind, settings = VARIANTS[variant]
    model = make(kind, **settings)
    engine = engine_of(model, compute=compute)
    for number, length in enumerate((1, 9, 150)):
        engine.admit(greedy(number, prompt(length, number), 24))
    found = drain(engine)
    for number, length in enumerate((1, 9, 150)):
        expected = reference(model, prompt(length, number), 24)
        assert tokens_of(found[number]) == expected


def test_the_comparison_notices_a_wrong_rotation() -> None:
    """Positive control: the same weights under another rotary base give other tokens."""
    model, other = make(), make(rope_parameters={"rope_type": "default", "rope_theta": 20.0})
    engine = engine_of(other)
    engine.admit(greedy(1, prompt(9), 24))
    assert tokens_of(drain(engine)[1]) != reference(model, prompt(9), 24)


def test_log_probabilities_are_those_of_transformers_in_float32() -> None:
    model = make()
    engine = engine_of(model)
    engine.admit(greedy(1, prompt(20), 6, top=5))
    results = drain(engine)[1]
    sequence = prompt(20) + tokens_of(results)
    with torch.no_grad():
        expected = torch.log_softmax(model(torch.tensor([sequence])).logits[0].float(), -1)
    for step, result in enumerate(results):
        scores, ids = expected[19 + step].topk(5)
        assert result.top_ids == tuple(ids.tolist())
        assert result.top_logprobs == pytest.approx(scores.tolist(), abs=2e-4)


def test_bf16_stays_within_the_rounding_that_transformers_shows_itself() -> None:
    """Our error against float32 is no larger than that of transformers' own bf16 forward."""
    exact = make(initializer_range=0.1).bfloat16().float()
    half = make(initializer_range=0.1).bfloat16()
    sequence = torch.tensor([prompt(40)])
    with torch.no_grad():
        true = torch.log_softmax(exact(sequence).logits[0, -1].float(), -1)
        theirs = torch.log_softmax(half(sequence).logits[0, -1].float(), -1)
    allowed = float((theirs - true).abs().max())
    for compute in ("auto", "float32", "stored"):
        engine = engine_of(half, compute=compute)
        engine.admit(greedy(1, prompt(40), 1, top=5))
        (result,) = drain(engine)[1]
        error = max(
            abs(score - float(true[token]))
            for token, score in zip(result.top_ids, result.top_logprobs, strict=True)
        )
        assert error <= max(allowed, 1e-3), compute


def test_end_token_stops_and_carries_no_scores() -> None:
    model = make()
    first = reference(model, prompt(9), 8)
    engine = engine_of(model, eos_token_ids=(first[3],))
    engine.admit(greedy(1, prompt(9), 8, top=2))
    results = drain(engine)[1]
    assert [r.finished for r in results] == [None] * first.index(first[3]) + ["stop"]
    assert results[-1].top_ids == ()


def test_reading_a_long_prompt_never_stops_decoding() -> None:
    engine = engine_of(make())
    engine.admit(greedy(1, prompt(5), 40))
    engine.step()
    engine.admit(greedy(2, prompt(200), 4))
    for _ in range(4):
        drew = {result.id: result.token is not None for result in engine.step()}
        assert drew[1]
    assert drew[2]


def test_a_sampled_stream_differs_between_runs_and_greedy_does_not() -> None:
    engine = engine_of(make(initializer_range=0.05))
    for number in range(2):
        engine.admit(GenerateJob(number, tuple(prompt(9)), 30, 1.0, 0.95))
        engine.admit(greedy(number + 2, prompt(9), 30))
    found = drain(engine)
    assert tokens_of(found[0]) != tokens_of(found[1])
    assert tokens_of(found[2]) == tokens_of(found[3])


def test_warm_up_leaves_no_trace_in_answers() -> None:
    model = make()
    engine = engine_of(model)
    engine.warm_up()
    assert (engine.active, engine.waiting) == (0, 0)
    engine.admit(greedy(1, prompt(30), 12))
    assert tokens_of(drain(engine)[1]) == reference(model, prompt(30), 12)


def test_the_arena_is_never_written() -> None:
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine = engine_of(model, compute="stored")
    engine.warm_up()
    engine.admit(greedy(1, prompt(30), 12))
    drain(engine)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "job",
    [
        GenerateJob(1, (), 4, 0.0, 1.0),
        GenerateJob(1, (199,), 4, 0.0, 1.0),
        GenerateJob(1, (-1,), 4, 0.0, 1.0),
        GenerateJob(1, (3,), 0, 0.0, 1.0),
        GenerateJob(1, (3,), 256, 0.0, 1.0),
        GenerateJob(1, (3,), 4, -0.1, 1.0),
        GenerateJob(1, (3,), 4, math.nan, 1.0),
        GenerateJob(1, (3,), 4, 1.0, 0.0),
        GenerateJob(1, (3,), 4, 0.0, 1.0, 6),
        GenerateJob(9, (3,), 4, 0.0, 1.0),
    ],
)
def test_what_does_not_fit_is_refused_and_not_queued(job: GenerateJob) -> None:
    engine = engine_of(make())
    engine.admit(greedy(9, [3], 4))
    with pytest.raises(RequestRefused) as refusal:
        engine.admit(job)
    assert refusal.value.code == "keeper.job_invalid"
    assert engine.waiting == 1


def test_a_job_that_just_fits_is_served_to_its_last_position() -> None:
    model = make()
    engine = engine_of(model)
    engine.admit(greedy(1, prompt(200), 56))
    results = drain(engine)[1]
    assert tokens_of(results) == reference(model, prompt(200), 56)
    assert results[-1].finished == "length"


def test_cancelling_forgets_queued_and_active_jobs() -> None:
    engine = engine_of(make(), max_streams=1)
    engine.admit(greedy(1, prompt(9), 20))
    engine.admit(greedy(2, prompt(9), 20))
    engine.step()
    assert (engine.active, engine.waiting) == (1, 1)
    assert engine.cancel(2)
    assert engine.cancel(1)
    assert not engine.cancel(1)
    assert (engine.active, engine.waiting) == (0, 0)
    assert list(engine.step()) == []


@pytest.mark.parametrize("compute", ["stored", "float32"])
@torch.inference_mode()
def test_a_pooled_job_is_the_mean_of_transformers_last_hidden_states(compute: str) -> None:
    model = make()
    engine = engine_of(model, compute=compute)
    texts = {-1: [5, 6, 7], 3: [9, 8], -2: list(range(3, 190))}  # the last takes several steps
    for number, tokens in texts.items():
        engine.admit(
            GenerateJob(number, tuple(tokens), 4 if number > 0 else 1, 0.0, 1.0, pooled=number < 0)
        )
    found = {}
    said = 0
    while engine.active or engine.waiting:
        for result in engine.step():
            if result.pooled is not None:
                found[result.id] = result.pooled
                assert (result.token, result.finished) == (None, "length")
            said += result.token is not None
    assert said == 4
    assert set(found) == {-1, -2}
    for number, pooled in found.items():
        ids = torch.tensor([texts[number]])
        wanted = model.model(input_ids=ids).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(pooled, wanted, rtol=1e-4, atol=1e-4)
