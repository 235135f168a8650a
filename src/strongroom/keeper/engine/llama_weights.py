"""Which tensors a Llama-type decoder has, and the check that a sealed model has exactly those."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from strongroom.errors import ConfigurationRefused
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer's tensors, as stored. Matrices are (out, in); biases may be absent."""

    input_norm: torch.Tensor
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    q_bias: torch.Tensor | None
    k_bias: torch.Tensor | None
    v_bias: torch.Tensor | None
    out: torch.Tensor
    out_bias: torch.Tensor | None
    post_norm: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """A checked decoder: ``head`` is ``embedding`` itself where the two are tied."""

    embedding: torch.Tensor
    layers: tuple[LayerWeights, ...]
    norm: torch.Tensor
    head: torch.Tensor


def expected_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the configuration calls for, with its shape."""
    hidden, inner = config.hidden_size, config.intermediate_size
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (q, hidden),
        "self_attn.k_proj.weight": (kv, hidden),
        "self_attn.v_proj.weight": (kv, hidden),
        "self_attn.o_proj.weight": (hidden, q),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
    }
    if config.qkv_bias:
        layer |= {
            "self_attn.q_proj.bias": (q,),
            "self_attn.k_proj.bias": (kv,),
            "self_attn.v_proj.bias": (kv,),
        }
    if config.out_bias:
        layer["self_attn.o_proj.bias"] = (hidden,)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tied:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    for index in range(config.layers):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    return shapes


def check_tensors(tensors: Tensors, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse any missing, surplus or ill-shaped tensor.

    Names are not repeated in the refusal: they are part of what is sealed, so only a count and
    the first name's kind of fault leave.
    """
    missing = [name for name in shapes if name not in tensors]
    surplus = [name for name in tensors if name not in shapes]
    if missing or surplus:
        raise _mismatch(f"lacks {len(missing)} tensors it needs and has {len(surplus)} others")
    if any(tuple(tensors[name].shape) != shape for name, shape in shapes.items()):
        raise _mismatch("has a tensor whose shape is not the configuration's")
    if any(tensors[name].dtype not in DTYPES for name in shapes):
        raise _mismatch("has a tensor that is not F32, BF16 or F16")


def _mismatch(what: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "keeper.model_tensors_mismatch",
        f"The model {what}.",
        action="Seal the weights together with the config.json that belongs to them.",
    )


def collect(config: LlamaConfig, tensors: Tensors) -> LlamaWeights:
    """Check all names, shapes and dtypes, then arrange the tensors.

    A tied model may carry a copy of its embedding as ``lm_head.weight``; it is left alone, as the
    tie says.

    Raises:
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
    """
    shapes = expected_shapes(config)
    if config.tied and "lm_head.weight" in tensors:
        shapes["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    check_tensors(tensors, shapes)
    embedding = tensors["model.embed_tokens.weight"]
    return LlamaWeights(
        embedding=embedding,
        layers=tuple(_layer(tensors, index) for index in range(config.layers)),
        norm=tensors["model.norm.weight"],
        head=embedding if config.tied else tensors["lm_head.weight"],
    )


def _layer(tensors: Tensors, index: int) -> LayerWeights:
    base = f"model.layers.{index}."
    return LayerWeights(
        input_norm=tensors[base + "input_layernorm.weight"],
        q=tensors[base + "self_attn.q_proj.weight"],
        k=tensors[base + "self_attn.k_proj.weight"],
        v=tensors[base + "self_attn.v_proj.weight"],
        q_bias=tensors.get(base + "self_attn.q_proj.bias"),
        k_bias=tensors.get(base + "self_attn.k_proj.bias"),
        v_bias=tensors.get(base + "self_attn.v_proj.bias"),
        out=tensors[base + "self_attn.o_proj.weight"],
        out_bias=tensors.get(base + "self_attn.o_proj.bias"),
        post_norm=tensors[base + "post_attention_layernorm.weight"],
        gate=tensors[base + "mlp.gate_proj.weight"],
        up=tensors[base + "mlp.up_proj.weight"],
        down=tensors[base + "mlp.down_proj.weight"],
    )
