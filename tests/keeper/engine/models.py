"""Tiny decoders with random weights, made by transformers, and the same as our engine."""

from __future__ import annotations

import json
from typing import Any

import torch
import transformers

from strongroom.keeper.engine.interface import GenerateJob, StepResult
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_config import parse_llama_config

SIZES: dict[str, Any] = {
    "vocab_size": 199,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def make(kind: str = "Llama", seed: int = 0, **settings: Any) -> transformers.PreTrainedModel:
    """A float32 model of transformers with random weights, biases and norm gains included."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**(SIZES | settings))
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value.normal_(mean=float("norm" in name), std=0.3)
    return model


def config_bytes(model: transformers.PreTrainedModel) -> bytes:
    return json.dumps(model.config.to_dict()).encode()


def engine_of(model: transformers.PreTrainedModel, **settings: Any) -> LlamaEngine:
    """Our engine over the very tensors of a transformers model."""
    options: dict[str, Any] = {
        "max_streams": 4,
        "context_length": 256,
        "eos_token_ids": (),
        "compute": "auto",
    }
    config = parse_llama_config(config_bytes(model))
    tensors = {name: value.detach() for name, value in model.state_dict().items()}
    return LlamaEngine(config, tensors, **(options | settings))


def greedy(number: int, tokens: list[int], max_tokens: int, top: int = 0) -> GenerateJob:
    return GenerateJob(number, tuple(tokens), max_tokens, 0.0, 1.0, top)


def drain(engine: LlamaEngine) -> dict[int, list[StepResult]]:
    """Step until nothing is left; the results that carry a token, by job."""
    found: dict[int, list[StepResult]] = {}
    while engine.active or engine.waiting:
        for result in engine.step():
            if result.token is not None:
                found.setdefault(result.id, []).append(result)
    return found


def tokens_of(results: list[StepResult]) -> list[int]:
    return [result.token for result in results if result.token is not None]


def reference(model: transformers.PreTrainedModel, tokens: list[int], count: int) -> list[int]:
    """What transformers generates greedily, end tokens ignored."""
    ids = torch.tensor([tokens])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
    )
    return out[0, len(tokens) :].tolist()
