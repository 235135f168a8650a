"""What a thief does to a copy, as functions over its tensors; and tiny models to do it to.

``benchmarks/provenance.py`` does the same to SmolLM2. The first group keeps the model's function,
which ``test_disguises_keep_the_function`` holds them to; the second keeps it roughly.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from strongroom.provenance.decoder import Decoder, decoder

Tensors = dict[str, Tensor]
WORDS = [f" {a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def tiny(seed: int, layers: int = 6, width: int = 48, words: list[str] | None = None) -> Decoder:
    """A random Llama with 4 heads and 2 key heads over a vocabulary of whole words."""
    draw = torch.Generator().manual_seed(seed)
    words = WORDS if words is None else words

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw) / shape[-1] ** 0.5

    tensors = {"model.embed_tokens.weight": noise(len(words), width)}
    for number in range(layers):
        at = f"model.layers.{number}."
        tensors |= {
            f"{at}input_layernorm.weight": 1 + 0.3 * noise(width),
            f"{at}post_attention_layernorm.weight": 1 + 0.3 * noise(width),
            f"{at}self_attn.q_proj.weight": noise(width, width),
            f"{at}self_attn.k_proj.weight": noise(width // 2, width),
            f"{at}self_attn.v_proj.weight": noise(width // 2, width),
            f"{at}self_attn.o_proj.weight": noise(width, width),
            f"{at}mlp.gate_proj.weight": noise(2 * width, width),
            f"{at}mlp.up_proj.weight": noise(2 * width, width),
            f"{at}mlp.down_proj.weight": noise(width, 2 * width),
        }
    tensors["model.norm.weight"] = 1 + 0.3 * noise(width)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    config = {"num_attention_heads": 4, "num_key_value_heads": 2}
    vocabulary = {word.replace(" ", "Ġ"): number for number, word in enumerate(words)}
    tokenizer = json.dumps({"model": {"vocab": vocabulary}}).encode()
    return decoder(f"tiny-{seed}", config, tokenizer, tensors)


def altered(model: Decoder, change: Callable[[Tensors, Decoder], Tensors]) -> Decoder:
    """A copy of ``model`` with its tensors, float32, changed."""
    tensors = {name: value.float().clone() for name, value in model.tensors.items()}
    if "lm_head.weight" not in tensors:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    return replace(model, name=change.__name__, tensors=change(tensors, model))


def rotated_and_scaled(tensors: Tensors, model: Decoder) -> Tensors:
    """The stream turned by an orthogonal matrix and made three times as long."""
    width = tensors["model.embed_tokens.weight"].shape[1]
    turn = torch.linalg.qr(torch.randn(width, width, generator=_draw()))[0]
    return _turned(tensors, turn, 3.0)


def permuted(tensors: Tensors, model: Decoder) -> Tensors:
    """The stream's coordinates in another order."""
    width = tensors["model.embed_tokens.weight"].shape[1]
    return _turned(tensors, torch.eye(width)[torch.randperm(width, generator=_draw())], 1.0)


def heads_moved(tensors: Tensors, model: Decoder) -> Tensors:
    """Groups of heads in another order, values and outputs scaled against each other."""
    order = torch.arange(model.key_heads).flip(0)
    groups = model.heads // model.key_heads
    for at in _layers(tensors):
        for part, heads, axis in (
            ("q", model.heads, 0),
            ("k", model.key_heads, 0),
            ("v", model.key_heads, 0),
            ("o", model.heads, 1),
        ):
            name = f"{at}self_attn.{part}_proj.weight"
            size = tensors[name].shape[axis] // heads
            places = (
                order
                if heads == model.key_heads
                else (order[:, None] * groups + torch.arange(groups)).flatten()
            )
            rows = (places[:, None] * size + torch.arange(size)).flatten()
            tensors[name] = tensors[name].index_select(axis, rows)
        tensors[f"{at}self_attn.v_proj.weight"] *= 5
        tensors[f"{at}self_attn.o_proj.weight"] /= 5
    return tensors


def merged(tensors: Tensors, model: Decoder) -> Tensors:
    """An adapter of rank 8, a fifth as large as the matrix, merged into queries and values."""
    draw = _draw()
    for name, value in tensors.items():
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            low = torch.randn(len(value), 8, generator=draw) @ torch.randn(
                8, value.shape[1], generator=draw
            )
            tensors[name] = value + low * (0.2 * value.norm() / low.norm())
    return tensors


def tuned(tensors: Tensors, model: Decoder) -> Tensors:
    """Every matrix moved by a fifth of its length in a random direction: far beyond fine-tuning."""
    draw = _draw()
    for name, value in tensors.items():
        if value.dim() == 2:
            step = torch.randn(value.shape, generator=draw)
            tensors[name] = value + step * (0.2 * value.norm() / step.norm())
    return tensors


def pruned(tensors: Tensors, model: Decoder) -> Tensors:
    """The smaller half of every matrix set to nothing, embeddings apart."""
    for name, value in tensors.items():
        if "proj" in name:
            limit = value.abs().flatten().kthvalue(value.numel() // 2).values
            tensors[name] = torch.where(value.abs() > limit, value, 0.0)
    return tensors


def eight_bits(tensors: Tensors, model: Decoder) -> Tensors:
    """Rounded to int8 by rows."""
    return _rounded(tensors, 8)


def four_bits(tensors: Tensors, model: Decoder) -> Tensors:
    """Rounded to int4 by rows."""
    return _rounded(tensors, 4)


def third_dropped(tensors: Tensors, model: Decoder) -> Tensors:
    """Every third layer left out."""
    return _kept(tensors, lambda number: number % 3 != 1)


def half_dropped(tensors: Tensors, model: Decoder) -> Tensors:
    """Every other layer left out."""
    return _kept(tensors, lambda number: number % 2 == 0)


def everything(tensors: Tensors, model: Decoder) -> Tensors:
    """Tuned, pruned, shortened, rounded to four bits, heads moved, rotated and scaled."""
    for change in (tuned, pruned, third_dropped, four_bits, heads_moved, rotated_and_scaled):
        tensors = change(tensors, model)
    return tensors


DISGUISES = (rotated_and_scaled, permuted, heads_moved)
COPIES = (
    *DISGUISES, merged, tuned, pruned, eight_bits, four_bits, third_dropped, half_dropped,
    everything,
)  # fmt: skip


def body_anew(tensors: Tensors, model: Decoder) -> Tensors:
    """No copy: the embeddings are taken, every other matrix is made from nothing."""
    draw = _draw()
    for name, value in tensors.items():
        if "proj" in name:
            tensors[name] = torch.randn(value.shape, generator=draw) * value.std()
    return tensors


def _turned(tensors: Tensors, turn: Tensor, scale: float) -> Tensors:
    found = dict(tensors)
    found["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"] @ turn * scale
    found["lm_head.weight"] = (tensors["lm_head.weight"] * tensors["model.norm.weight"]) @ turn
    found["model.norm.weight"] = torch.ones_like(tensors["model.norm.weight"])
    for at in _layers(tensors):
        for norm, parts in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            gain = tensors[f"{at}{norm}.weight"]
            for part in parts:
                found[f"{at}{part}.weight"] = (tensors[f"{at}{part}.weight"] * gain) @ turn
            found[f"{at}{norm}.weight"] = torch.ones_like(gain)
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            found[f"{at}{part}.weight"] = turn.T @ tensors[f"{at}{part}.weight"] * scale
    return found


def _rounded(tensors: Tensors, bits: int) -> Tensors:
    for name, value in tensors.items():
        if value.dim() == 2:
            step = value.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            tensors[name] = (value / step.clamp(min=1e-12)).round() * step
    return tensors


def _kept(tensors: Tensors, wanted: Callable[[int], bool]) -> Tensors:
    kept = [number for number in range(len(_layers(tensors))) if wanted(number)]
    found = {name: value for name, value in tensors.items() if ".layers." not in name}
    for place, number in enumerate(kept):
        start = f"model.layers.{number}."
        for name, value in tensors.items():
            if name.startswith(start):
                found[f"model.layers.{place}.{name.removeprefix(start)}"] = value
    return found


def _layers(tensors: Tensors) -> list[str]:
    count = sum(name.endswith("q_proj.weight") for name in tensors)
    return [f"model.layers.{number}." for number in range(count)]


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(99)
