"""The configuration of a Llama-type decoder, read strictly from a Hugging Face ``config.json``.

Supported: ``llama``, ``mistral`` (without sliding window) and ``qwen2`` (without sliding window);
rotary embeddings ``default``, ``linear`` and ``llama3``. A field that would change the
computation and that this engine does not know is refused, never ignored: a wrong answer that
looks right is worse than none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from strongroom.errors import ConfigurationRefused

SUPPORTED = ("llama", "mistral", "qwen2")
ROPE_TYPES = ("default", "linear", "llama3")

_READ = frozenset(
    [
        "model_type",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "hidden_act",
        "tie_word_embeddings",
        "attention_bias",
        "mlp_bias",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "sliding_window",
        "use_sliding_window",
        "layer_types",
        "eos_token_id",
    ]
)
_WITHOUT_EFFECT = frozenset(
    [
        "architectures",
        "bos_token_id",
        "pad_token_id",
        "unk_token_id",
        "sep_token_id",
        "dtype",
        "torch_dtype",
        "attention_dropout",
        "initializer_range",
        "pretraining_tp",
        "transformers_version",
        "use_cache",
        "max_window_layers",
        "is_llama_config",
        "return_dict",
        "output_hidden_states",
        "output_attentions",
        "chunk_size_feed_forward",
        "problem_type",
        "id2label",
        "label2id",
        "transformers.js_config",
        "attn_implementation",
    ]
)
_ONLY_FALSE = frozenset({"is_encoder_decoder", "add_cross_attention", "rope_interleaved"})


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary position embedding: ``theta`` is the base; the rest belongs to the scaled types."""

    theta: float = 10_000.0
    type: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8_192


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Shapes and constants of one decoder. Sizes are element counts, never bytes."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    max_positions: int
    norm_eps: float
    tied: bool
    qkv_bias: bool
    out_bias: bool
    rope: RopeConfig
    eos_token_ids: tuple[int, ...]


def refuse(message: str) -> ConfigurationRefused:
    """The refusal of a sealed model's configuration."""
    return ConfigurationRefused(
        "keeper.model_config_invalid",
        f"The model's configuration cannot be served: {message}",
        action="Correct config.json and seal again.",
    )


def unsupported(what: str) -> ConfigurationRefused:
    """The refusal of a model that this engine does not compute."""
    return ConfigurationRefused(
        "keeper.unsupported_architecture",
        f"The embedded engine does not compute {what}.",
        action=f"It serves model_type {', '.join(SUPPORTED)} (full attention, silu, rotary types "
        f"{', '.join(ROPE_TYPES)}) and strongroom-classifier.",
    )


class _Fields:
    """Typed access to a JSON object: a value of the wrong type is refused by name."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw

    def integer(self, name: str, default: int | None = None) -> int:
        value = self._raw.get(name)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= 2**31:
            raise refuse(f"The model configuration's {name} is not a positive integer.")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._raw.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise refuse(f"The model configuration's {name} is not a positive number.")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._raw.get(name)
        value = default if value is None else value
        if type(value) is not bool:
            raise refuse(f"The model configuration's {name} is not true or false.")
        return value


def load_object(raw: bytes) -> dict[str, Any]:
    """A JSON object from bytes, or a refusal."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise refuse("The model configuration is not JSON.") from None
    if not isinstance(value, dict):
        raise refuse("The model configuration is not a JSON object.")
    return value


def read_token_ids(value: object, name: str) -> tuple[int, ...]:
    """Token ids written as null, one integer or a list of integers."""
    listed = [] if value is None else value if isinstance(value, list) else [value]
    if any(type(item) is not int or item < 0 for item in listed):
        raise refuse(f"The model configuration's {name} is not a token id or a list of them.")
    return tuple(dict.fromkeys(listed))


def parse_llama_config(raw: bytes) -> LlamaConfig:
    """Read a decoder's configuration.

    Raises:
        ConfigurationRefused: ``keeper.unsupported_architecture`` for a model outside the
            supported family, ``keeper.model_config_invalid`` for values that make no sense.
    """
    values = load_object(raw)
    _check_supported(values)
    fields = _Fields(values)
    model_type = str(values["model_type"])
    heads = fields.integer("num_attention_heads")
    kv_heads = fields.integer("num_key_value_heads", heads)
    hidden = fields.integer("hidden_size")
    head_dim = fields.integer("head_dim", max(hidden // heads, 1))
    vocab = fields.integer("vocab_size")
    if heads % kv_heads or head_dim % 2:
        raise refuse("The model configuration's attention heads do not divide evenly.")
    bias = fields.flag("attention_bias", False)
    eos = read_token_ids(values.get("eos_token_id"), "eos_token_id")
    if any(token >= vocab for token in eos):
        raise refuse("The model configuration's eos_token_id lies outside the vocabulary.")
    return LlamaConfig(
        model_type=model_type,
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=fields.integer("intermediate_size"),
        layers=fields.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=fields.integer("max_position_embeddings", 2_048),
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        tied=fields.flag("tie_word_embeddings", False),
        qkv_bias=model_type == "qwen2" or bias,
        out_bias=model_type != "qwen2" and bias,
        rope=_parse_rope(values),
        eos_token_ids=eos,
    )


def _check_supported(values: dict[str, Any]) -> None:
    model_type = values.get("model_type")
    if model_type not in SUPPORTED:
        raise unsupported("this model_type")
    unknown = sorted(
        name
        for name in values
        if not name.startswith("_")
        and name not in _READ
        and name not in _WITHOUT_EFFECT
        and not (name in _ONLY_FALSE and values[name] is False)
    )
    if unknown:
        raise unsupported(f"models with {', '.join(name[:40] for name in unknown[:5])}")
    if values.get("hidden_act", "silu") != "silu":
        raise unsupported("activations other than silu")
    if values.get("mlp_bias"):
        raise unsupported("biases in the feed-forward layers")
    if values.get("use_sliding_window", model_type == "mistral") and values.get("sliding_window"):
        raise unsupported("sliding-window attention")
    kinds = values.get("layer_types") or []
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise unsupported("layers other than full attention")


def _parse_rope(values: dict[str, Any]) -> RopeConfig:
    """Both spellings: ``rope_parameters``, or ``rope_theta`` beside ``rope_scaling``."""
    scaled = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(scaled, dict):
        raise refuse("The model configuration's rotary embedding is not an object.")
    kind = scaled.get("rope_type", scaled.get("type", "default"))
    if kind not in ROPE_TYPES:
        raise unsupported("this type of rotary embedding")
    if scaled.get("partial_rotary_factor", 1.0) != 1.0:
        raise unsupported("partial rotary embeddings")
    top, inner = _Fields(values), _Fields(scaled)
    theta = inner.number("rope_theta", top.number("rope_theta", 10_000.0))
    if kind == "default":
        return RopeConfig(theta)
    if kind == "linear":
        return RopeConfig(theta, kind, inner.number("factor"))
    rope = RopeConfig(
        theta,
        kind,
        inner.number("factor"),
        inner.number("low_freq_factor"),
        inner.number("high_freq_factor"),
        inner.integer("original_max_position_embeddings"),
    )
    if rope.high_freq_factor <= rope.low_freq_factor:
        raise refuse("The model configuration's rotary frequency factors are not in order.")
    return rope
