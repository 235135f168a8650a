"""A decoder's tensors as fingerprints read them, wherever they come from.

Llama-type names are taken (Llama, Mistral, Qwen2 and their like). The gains of the norms are folded
into the matrices behind them, so that two spellings of one function have one form.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from strongroom.artifact.safetensors_header import SourceTensor, read_header
from strongroom.errors import StrongroomError
from strongroom.provenance.reasons import refuse

_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_MOST_CONFIG: Final = 1 << 20
MOST_TOKENIZER: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Attention:
    """One layer's attention, float32, gains folded in: q, k and v (rows, width), out (width, rows);
    key and value heads as many as they are."""

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor


@dataclass(frozen=True, repr=False)
class Decoder:
    """A named model: its tensors, heads, and the ids of its tokens by their text."""

    name: str
    tensors: Mapping[str, Tensor]
    heads: int
    key_heads: int
    vocabulary: Mapping[str, int]

    def __repr__(self) -> str:
        return f"Decoder({self.name})"

    def embedding(self) -> Tensor:
        """(vocabulary, width), as stored.

        Raises:
            ArtifactRefused: ``provenance.model_unreadable``.
        """
        return self._tensor("model.embed_tokens.weight", 2)

    def layers(self) -> Iterator[Attention]:
        """Every layer's attention in order.

        Raises:
            ArtifactRefused: ``provenance.model_unreadable``.
        """
        width = self.embedding().shape[1]
        number = 0
        while f"model.layers.{number}.self_attn.q_proj.weight" in self.tensors:
            at = f"model.layers.{number}."
            gain = self._tensor(f"{at}input_layernorm.weight", 1).float()
            q, k, v, out = (
                self._tensor(f"{at}self_attn.{part}_proj.weight", 2).float() for part in "qkvo"
            )
            fits = (
                q.shape[1] == k.shape[1] == v.shape[1] == out.shape[0] == len(gain) == width
                and q.shape[0] == out.shape[1]
                and q.shape[0] % self.heads == 0
                and k.shape[0] == v.shape[0] == q.shape[0] // self.heads * self.key_heads
            )
            if not fits:
                raise self.unreadable(f"the shapes of layer {number} do not fit each other")
            yield Attention(q * gain, k * gain, v * gain, out)
            number += 1
        if not number:
            raise self.unreadable("it has no layer of a Llama-type decoder")

    def unreadable(self, why: str) -> StrongroomError:
        """``provenance.model_unreadable``."""
        return refuse("provenance.model_unreadable", name=self.name, why=why)

    def _tensor(self, name: str, axes: int) -> Tensor:
        found = self.tensors.get(name)
        if found is None or found.dim() != axes or not found.dtype.is_floating_point:
            raise self.unreadable(f"{name} is missing or of another form")
        if not bool(torch.isfinite(found).all()):
            raise self.unreadable(f"{name} holds numbers that are not finite")
        return found


def decoder(
    name: str, config: Mapping[str, Any], tokenizer: bytes, tensors: Mapping[str, Tensor]
) -> Decoder:
    """A decoder from its parts: ``config.json`` as read, ``tokenizer.json`` as bytes.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``.
    """
    heads = config.get("num_attention_heads")
    key_heads = config.get("num_key_value_heads", heads)
    vocabulary = _words(tokenizer)
    good = (
        isinstance(heads, int)
        and isinstance(key_heads, int)
        and 1 <= key_heads <= heads <= 1024
        and heads % key_heads == 0
    )
    if not good or not vocabulary:
        why = "its config.json or tokenizer.json does not say its heads and tokens"
        raise refuse("provenance.model_unreadable", name=name, why=why)
    return Decoder(name, tensors, int(heads or 0), int(key_heads or 0), vocabulary)


def _words(tokenizer: bytes) -> dict[str, int]:
    """Ids by text; a blank is a blank, however the tokenizer spells it. Nothing if unreadable."""
    try:
        listed = json.loads(tokenizer)["model"]["vocab"]
        if isinstance(listed, list):  # pieces with their scores, in the order of their ids
            listed = {piece[0]: number for number, piece in enumerate(listed)}
        pairs = sorted(listed.items(), key=lambda pair: pair[1], reverse=True)
        found = {spelt(word): number for word, number in pairs}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return {}
    sound = all(type(number) is int and number >= 0 for number in found.values())
    return found if sound else {}


def spelt(word: str) -> str:
    """A token's text with a plain space where tokenizers write another character for it."""
    return word.replace("Ġ", " ").replace("▁", " ")


def read_folder(folder: Path) -> Decoder:
    """A suspect's folder as Hugging Face lays it out; its weights are mapped, not copied.

    Only ``config.json``, ``tokenizer.json`` and safetensors are looked at; nothing of it is run.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``, or why a header is not one.
    """
    try:
        config = json.loads(_bounded(folder / "config.json", _MOST_CONFIG))
        tokenizer = _bounded(folder / "tokenizer.json", MOST_TOKENIZER)
        shards = sorted(folder.glob("*.safetensors"))
        tensors: dict[str, Tensor] = {}
        for shard in shards:
            tensors.update(_mapped(shard))
    except (OSError, ValueError, RecursionError) as error:
        why = type(error).__name__
        raise refuse("provenance.model_unreadable", name=folder.name, why=why) from None
    if not isinstance(config, dict) or not tensors:
        why = "it holds no safetensors, or its config.json is no object"
        raise refuse("provenance.model_unreadable", name=folder.name, why=why)
    return decoder(folder.name, config, tokenizer, tensors)


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content


def _mapped(path: Path) -> Iterator[tuple[str, Tensor]]:
    with path.open("rb") as file:
        entries = read_header(file.fileno(), path.name)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    for entry in entries:
        if entry.dtype in _DTYPES and entry.nbytes:
            yield entry.name, _aliasing(mapped, entry)


def _aliasing(mapped: mmap.mmap, entry: SourceTensor) -> Tensor:
    dtype = _DTYPES[entry.dtype]
    if entry.offset % dtype.itemsize:
        raise ValueError("a tensor is not aligned")
    count = entry.nbytes // dtype.itemsize
    flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=entry.offset)
    return flat.reshape(entry.shape)
