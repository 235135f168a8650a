"""The real model: our tokens against transformers' on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import StepResult
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_model import native_bf16

from .models import drain, greedy, reference, tokens_of

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXTS = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees because",
)


@pytest.fixture(scope="module")
def prompts(smollm2_dir: Path) -> list[list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_dir)
    return [tokenizer(text)["input_ids"] for text in TEXTS]


@pytest.fixture(scope="module")
def exact(smollm2_dir: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32)


def build(folder: Path, compute: Any) -> LlamaEngine:
    files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    tensors = load_file(folder / "model.safetensors")
    engine = build_engine(files, tensors, max_streams=4, context_length=512, compute=compute)
    assert isinstance(engine, LlamaEngine)
    engine.eos_token_ids, engine._ends = (), frozenset()
    return engine


def test_float32_tokens_are_those_of_transformers_alone_and_together(
    smollm2_dir: Path, prompts: list[list[int]], exact: Any
) -> None:
    engine = build(smollm2_dir, "float32")
    expected = [reference(exact, tokens, 32) for tokens in prompts]
    engine.admit(greedy(9, prompts[0], 32))
    assert tokens_of(drain(engine)[9]) == expected[0]
    found: dict[int, list[StepResult]] = {number: [] for number in range(len(prompts))}
    for number, tokens in enumerate(prompts):
        engine.admit(greedy(number, tokens, 32))
        for result in engine.step():
            found[result.id].append(result)
    for number, results in drain(engine).items():
        found[number] += results
    assert [tokens_of(results) for results in found.values()] == expected


@pytest.mark.parametrize("compute", ["auto", "bfloat16", "stored"])
def test_bf16_is_as_close_to_float32_as_transformers_in_bf16(
    smollm2_dir: Path, prompts: list[list[int]], exact: Any, compute: str
) -> None:
    """Mean error of the five likeliest log-probabilities, over teacher-forced positions.

    One position a job, so that single-row steps (bf16 where it lies, under ``auto``) are used:
    the second token of each answer, whose first token is fed back alone.
    """
    half = transformers.AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.bfloat16)
    if compute == "bfloat16" and not native_bf16():
        pytest.skip("this processor has no bf16 instructions")
    engine = build(smollm2_dir, compute)
    ours, theirs = [], []
    for number, tokens in enumerate(prompts):
        engine.admit(greedy(number, tokens, 8, top=5))
        results = drain(engine)[number]
        sequence = torch.tensor([tokens + tokens_of(results)])
        with torch.no_grad():
            true = torch.log_softmax(exact(sequence).logits[0].float(), -1)
            other = torch.log_softmax(half(sequence).logits[0].float(), -1)
        for step, result in enumerate(results):
            at, ids = len(tokens) - 1 + step, list(result.top_ids)
            ours.append((torch.tensor(result.top_logprobs) - true[at, ids]).abs().mean())
            theirs.append((other[at, ids] - true[at, ids]).abs().mean())
    error, allowed = float(torch.stack(ours).mean()), float(torch.stack(theirs).mean())
    print(f"{compute}: {error:.4f}, transformers in bf16: {allowed:.4f}")
    assert error <= 1.1 * allowed
    assert error < 0.1
