"""A Llama of a few thousand random weights, as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

VOCABULARY = 256
HIDDEN, HEADS, KV_HEADS, HEAD, INNER, LAYERS = 32, 4, 2, 8, 64, 2
CONTEXT = 128

CONFIG = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "eos_token_id": 0,
    "bos_token_id": 1,
    "dtype": "float32",
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the model and its shape."""
    made: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        made |= {
            prefix + "input_layernorm.weight": (HIDDEN,),
            prefix + "post_attention_layernorm.weight": (HIDDEN,),
            prefix + "self_attn.q_proj.weight": (HEADS * HEAD, HIDDEN),
            prefix + "self_attn.k_proj.weight": (KV_HEADS * HEAD, HIDDEN),
            prefix + "self_attn.v_proj.weight": (KV_HEADS * HEAD, HIDDEN),
            prefix + "self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD),
            prefix + "mlp.gate_proj.weight": (INNER, HIDDEN),
            prefix + "mlp.up_proj.weight": (INNER, HIDDEN),
            prefix + "mlp.down_proj.weight": (HIDDEN, INNER),
        }
    return made


def write_tiny_llama(folder: Path) -> Path:
    """Write the model; its weights are the same at every call."""
    folder.mkdir()
    chance = np.random.default_rng(7)
    header: dict[str, object] = {}
    body = b""
    for name, shape in shapes().items():
        values = chance.standard_normal(shape, dtype=np.float32)
        raw = (np.ones(shape, "<f4") if "norm" in name else 0.2 * values).astype("<f4").tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        body += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def parameters() -> int:
    """Elements of all tensors."""
    return sum(int(np.prod(shape)) for shape in shapes().values())
