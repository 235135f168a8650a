"""A tiny random Llama for tuning, as transformers makes it and as our code takes it."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from keeper.engine.models import config_bytes, make

from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.tune.dataset import Dataset, Example, digest_of
from strongroom.tune.policy import Recipe


def tiny(**settings: Any) -> tuple[transformers.PreTrainedModel, LlamaConfig, dict[str, Any]]:
    """The model, our configuration of it, and its tensors."""
    model = make(**({"initializer_range": 0.15} | settings))
    tensors = {name: value.detach() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return model, parse_llama_config(config_bytes(model)), tensors


def counting(count: int, length: int = 12, seed: int = 0) -> Dataset:
    """Examples in which every token follows from the one before: something to learn."""
    by = torch.Generator().manual_seed(seed)
    examples = []
    for _ in range(count):
        first = int(torch.randint(3, 199, (1,), generator=by))
        ids = tuple(3 + (first + 7 * at) % 190 for at in range(length))
        examples.append(Example(ids, tuple(at > 2 for at in range(length))))
    return Dataset(tuple(examples), digest_of(examples))


def recipe(**fields: Any) -> Recipe:
    """A small job."""
    values: dict[str, Any] = {
        "rank": 4,
        "modules": MODULES,
        "rate": 2e-3,
        "steps": 6,
        "batch": 8,
        "least_steps": 2,
    }
    return Recipe(**(values | fields))
