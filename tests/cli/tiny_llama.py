"""A Llama of some ten thousand weights with a tokenizer of its own, as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LAYERS, HIDDEN, INNER, HEADS = 2, 32, 64, 4
TEXT = ["the quick brown fox jumps over the lazy dog", "a sealed model answers questions"] * 20
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_llama(folder: Path, seed: int = 0) -> Path:
    """Weights, configuration, tokenizer and template in a new ``folder``."""
    folder.mkdir(parents=True)
    vocabulary = _write_tokenizer(folder)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "eos_token_id": 1,
        "bos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(vocabulary, seed), folder / "model.safetensors")
    return folder


def _write_tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return int(tokenizer.get_vocab_size())


def _weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    kv = HIDDEN // 2

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * 0.1).astype(np.float32)

    made = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        base = f"model.layers.{layer}."
        made |= {
            base + "input_layernorm.weight": np.ones(HIDDEN, np.float32),
            base + "post_attention_layernorm.weight": np.ones(HIDDEN, np.float32),
            base + "self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            base + "self_attn.k_proj.weight": matrix(kv, HIDDEN),
            base + "self_attn.v_proj.weight": matrix(kv, HIDDEN),
            base + "self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            base + "mlp.gate_proj.weight": matrix(INNER, HIDDEN),
            base + "mlp.up_proj.weight": matrix(INNER, HIDDEN),
            base + "mlp.down_proj.weight": matrix(HIDDEN, INNER),
        }
    return made
