"""Pick and build the engine that a sealed model's configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.errors import ConfigurationRefused
from strongroom.keeper.engine.classifier import SmallClassifier, parse_classifier_config
from strongroom.keeper.engine.classifier_config import MODEL_TYPE
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine, Tensors
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_config import (
    LlamaConfig,
    load_object,
    parse_llama_config,
    read_token_ids,
    refuse,
)
from strongroom.keeper.engine.llama_model import Compute

DEFAULT_CONTEXT = 2_048


def build_engine(
    files: Mapping[str, bytes],
    tensors: Tensors,
    *,
    max_streams: int,
    context_length: int = 0,
    compute: Compute = "auto",
    adapters: bool = False,
) -> CausalEngine | ClassifierEngine:
    """Build the engine of a sealed model; the caller then calls ``warm_up``.

    Args:
        files: the sealed side files by name: ``config.json`` and, if there is one,
            ``generation_config.json``, whose end tokens take precedence.
        tensors: name to tensor, aliasing the arena.
        max_streams: generations that compute at once.
        context_length: longest sequence in tokens; 0 takes the model's own limit, at most 2,048.
        compute: see ``llama_model.Compute``.
        adapters: whether a language model is to serve adapters.

    Raises:
        ConfigurationRefused: ``keeper.model_config_invalid``,
            ``keeper.unsupported_architecture``, ``keeper.model_tensors_mismatch``,
            ``keeper.context_too_long``.
        EnvironmentLacks: ``keeper.no_onednn``, ``keeper.no_native_bf16``.
    """
    if "config.json" not in files:
        raise refuse("The sealed model has no config.json.")
    raw = files["config.json"]
    if load_object(raw).get("model_type") == MODEL_TYPE:
        return SmallClassifier(parse_classifier_config(raw), tensors)
    config = parse_llama_config(raw)
    return LlamaEngine(
        config,
        tensors,
        max_streams=max_streams,
        context_length=_context(config, context_length),
        eos_token_ids=_end_tokens(config, files),
        compute=compute,
        adapters=adapters,
    )


def _context(config: LlamaConfig, asked: int) -> int:
    if asked > config.max_positions:
        raise ConfigurationRefused(
            "keeper.context_too_long",
            f"The context length {asked} is beyond the model's {config.max_positions}.",
            action="Configure a shorter context length, or 0 for the model's own.",
        )
    return asked or min(config.max_positions, DEFAULT_CONTEXT)


def _end_tokens(config: LlamaConfig, files: Mapping[str, bytes]) -> tuple[int, ...]:
    """End tokens of generation_config.json, else of config.json."""
    own = load_object(files.get("generation_config.json", b"{}")).get("eos_token_id")
    tokens = read_token_ids(own, "eos_token_id") or config.eos_token_ids
    if any(token >= config.vocab_size for token in tokens):
        raise refuse("The model's eos_token_id lies outside the vocabulary.")
    return tokens
