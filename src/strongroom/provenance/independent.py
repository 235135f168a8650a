"""Models that have nothing to do with anybody's: tiny Llamas trained here from nothing.

They are the library that ``compare`` decides against where nobody has better ones. Each is trained
on the text of Python's own library, in an order of its own. All share text and tokenizer and some
their form, so that they are as like as independent models of their size get. They are small: a
library of models like the suspect is better.

1. The words of the tokenizer that the text uses most are kept and numbered anew, and with them
   those that a fingerprint may look at; where the text lacks one, it stays as it was initialised.
2. A Llama of three to six layers is initialised from the seed and trained for ``STEPS`` steps.
3. Its folder is one that ``decoder.read_folder`` takes.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch.nn import functional

from strongroom.provenance.decoder import MOST_TOKENIZER, spelt
from strongroom.provenance.fingerprint import common
from strongroom.provenance.reasons import refuse

STEPS: Final = 240
KEPT: Final = 6000
BATCH: Final = 8
LENGTH: Final = 64
_MOST_TEXT: Final = 6_000_000
_SHAPES: Final = ((96, 4, 6, 2), (96, 4, 6, 2), (64, 6, 4, 4), (128, 3, 4, 2), (96, 5, 4, 1))
"""Width, layers, heads, key heads; the first twice, since twins in form must stay apart."""


def local_text() -> str:
    """Text that every Python has: the sources of its library, docstrings and all."""
    return "".join(_sources())


def train_all(destination: Path, tokenizer: Path, models: int) -> Iterator[float]:
    """Train so many into the new folder; yields the loss of each as it is written.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``: the tokenizer cannot be used;
            ``provenance.library_unwritable``.
    """
    from tokenizers import Tokenizer

    try:
        with tokenizer.open("rb") as file:
            raw = file.read(MOST_TOKENIZER)
        listed = json.loads(raw)["model"]["vocab"]
        found = Tokenizer.from_buffer(raw).encode(local_text(), add_special_tokens=False).ids
    except Exception:  # the tokenizer's own reader raises no narrower one
        listed = None
    if not isinstance(listed, dict):
        why = "tokenizer.json is missing, or not one with a vocabulary by text"
        raise refuse("provenance.model_unreadable", name=tokenizer.parent.name, why=why)
    try:
        destination.mkdir(mode=0o700)
    except OSError as error:
        raise refuse(
            "provenance.library_unwritable", path=destination, why=error.strerror
        ) from None
    ids = torch.tensor(found)
    for seed in range(models):
        yield train(destination / f"independent-{seed}", listed, ids, seed)


def train(destination: Path, listed: Mapping[str, int], ids: torch.Tensor, seed: int) -> float:
    """Train one and write its folder; returns the loss that it ended with.

    Args:
        destination: a folder that does not exist yet.
        listed: the vocabulary of a tokenizer, ids by text.
        ids: the text in ids of that tokenizer.
        seed: different ones are independent.
    """
    counts = torch.bincount(ids, minlength=max(listed.values()) + 1)
    by_text = {spelt(word): number for word, number in listed.items()}
    looked_at = torch.tensor([by_text[word] for word in common(by_text)], dtype=torch.long)
    used = counts.argsort(descending=True)[:KEPT]
    kept = torch.tensor(sorted({*used.tolist(), *looked_at.tolist()}))
    numbers = torch.full((len(counts),), -1)
    numbers[kept] = torch.arange(len(kept))
    renumbered = numbers[ids]
    words = {word: int(numbers[number]) for word, number in listed.items() if numbers[number] >= 0}
    model, loss = _trained(renumbered[renumbered >= 0], len(kept), seed)
    destination.mkdir(mode=0o700)
    save_file(
        {
            name: value.contiguous()
            for name, value in model.model.state_dict(prefix="model.").items()
        },
        destination / "model.safetensors",
    )
    (destination / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
    described = {"model": {"type": "BPE", "vocab": words, "merges": []}}
    (destination / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    return loss


def _trained(ids: torch.Tensor, vocabulary: int, seed: int) -> tuple[Any, float]:
    from transformers import LlamaConfig, LlamaForCausalLM

    made: Any = LlamaForCausalLM

    width, layers, heads, key_heads = _SHAPES[seed % len(_SHAPES)]
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
        )
        model = made(config)
    rate = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loss: Any = torch.zeros(())
    for _ in range(STEPS):
        starts = torch.randint(0, len(ids) - LENGTH - 1, (BATCH, 1), generator=draw)
        batch = ids[starts + torch.arange(LENGTH + 1)]
        logits = model(input_ids=batch[:, :-1]).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        rate.zero_grad()
        loss.backward()
        rate.step()
    return model.eval(), float(loss.detach())


def _sources() -> Iterator[str]:
    left = _MOST_TEXT
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")[:left]
        left -= len(text)
        yield text
