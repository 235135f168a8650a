"""Which engine a configuration gets, and which configurations get none."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from strongroom.errors import ConfigurationRefused
from strongroom.keeper.engine.classifier import SmallClassifier
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.llama import LlamaEngine

from .models import config_bytes, make
from .test_classifier import CNN, network


def files(changes: dict[str, Any], generation: object = None) -> dict[str, bytes]:
    config = json.loads(config_bytes(make())) | changes
    side = {"config.json": json.dumps(config).encode(), "tokenizer.json": b"{}"}
    if generation is not None:
        side["generation_config.json"] = json.dumps(generation).encode()
    return side


def build(changes: dict[str, Any], generation: object = None, **settings: Any) -> LlamaEngine:
    tensors = {name: value.detach() for name, value in make().state_dict().items()}
    engine = build_engine(files(changes, generation), tensors, max_streams=2, **settings)
    assert isinstance(engine, LlamaEngine)
    return engine


def test_a_classifier_is_picked_by_its_model_type() -> None:
    side = {"config.json": json.dumps(CNN).encode()}
    engine = build_engine(side, dict(network().state_dict()), max_streams=2)
    assert isinstance(engine, SmallClassifier)


def test_the_context_is_the_model_s_own_unless_asked() -> None:
    assert build({}).context_length == 256
    assert build({}, context_length=100).context_length == 100
    with pytest.raises(ConfigurationRefused) as refusal:
        build({}, context_length=257)
    assert refusal.value.code == "keeper.context_too_long"


@pytest.mark.parametrize(
    ("in_config", "in_generation", "expected"),
    [
        (2, None, (2,)),
        ([2, 3], None, (2, 3)),
        (2, {"eos_token_id": [5, 6, 5]}, (5, 6)),
        (2, {"eos_token_id": None}, (2,)),
        (None, None, ()),
    ],
)
def test_end_tokens(in_config: object, in_generation: object, expected: tuple[int, ...]) -> None:
    assert build({"eos_token_id": in_config}, in_generation).eos_token_ids == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "gpt2"},
        {"model_type": None},
        {"hidden_act": "gelu"},
        {"mlp_bias": True},
        {"quantization_config": {"bits": 4}},
        {"logit_scale": 2.0},
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        {"model_type": "mistral", "sliding_window": 64},
        {"is_encoder_decoder": True},
    ],
)
def test_other_architectures_are_refused_with_what_is_supported(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        build(changes)
    assert refusal.value.code == "keeper.unsupported_architecture"
    assert "llama, mistral, qwen2" in refusal.value.action


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "48"},
        {"hidden_size": 0},
        {"hidden_size": True},
        {"hidden_size": None},
        {"num_key_value_heads": 4},
        {"head_dim": 7},
        {"rms_norm_eps": -1.0},
        {"tie_word_embeddings": "yes"},
        {"eos_token_id": 199},
        {"eos_token_id": "2"},
        {"rope_parameters": [1]},
        {"rope_parameters": {"rope_type": "linear"}},
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        build(changes)
    assert refusal.value.code == "keeper.model_config_invalid"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        build_engine({"config.json": raw}, {}, max_streams=1)
    assert refusal.value.code == "keeper.model_config_invalid"


@pytest.mark.parametrize(
    "changes",
    [{"num_hidden_layers": 2}, {"num_hidden_layers": 4}, {"hidden_size": 60}, {"vocab_size": 200}],
)
def test_tensors_of_another_configuration_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        build(changes)
    assert refusal.value.code == "keeper.model_tensors_mismatch"


def test_a_tensor_of_an_unknown_dtype_is_refused() -> None:
    tensors = {name: value.detach() for name, value in make().state_dict().items()}
    tensors["model.norm.weight"] = torch.zeros(48, dtype=torch.float64)
    with pytest.raises(ConfigurationRefused) as refusal:
        build_engine(files({}), tensors, max_streams=2)
    assert refusal.value.code == "keeper.model_tensors_mismatch"
