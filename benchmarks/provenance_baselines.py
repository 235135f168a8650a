"""Two other fingerprints, to be compared with ours on the same models and by the same rule.

- Standard deviations (Yoon et al. 2025, arXiv 2507.03014): of the Q, K, V and O matrices layer by
  layer, each row of numbers standardised over the layers; the likeness is the mean correlation of
  the four. A model with fewer layers is stretched by linear interpolation.
- Representations (REEF, Zhang et al. 2024, arXiv 2410.14273): linear CKA of what two models make of
  the last token of the same texts, after three fifths of their layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from strongroom.provenance.decoder import Decoder, spelt
from strongroom.provenance.independent import local_text

TEXTS, LENGTH = 128, 8
DEPTH = 0.6


def spreads(model: Decoder) -> Tensor:
    """(4, layers): of the matrices as stored."""
    return torch.stack(
        [
            torch.stack(
                [
                    model.tensors[f"model.layers.{number}.self_attn.{part}_proj.weight"]
                    .float()
                    .std()
                    for number in range(layers_of(model))
                ]
            )
            for part in "qkvo"
        ]
    )


def by_spreads(one: Tensor, other: Tensor) -> float:
    """Mean correlation over the four rows."""
    length = max(one.shape[1], other.shape[1])
    both = []
    for rows in (one, other):
        wide = nn.functional.interpolate(rows[None], length, mode="linear", align_corners=True)[0]
        wide = wide - wide.mean(1, keepdim=True)
        both.append(wide / wide.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return float((both[0] * both[1]).sum(1).mean())


def layers_of(model: Decoder) -> int:
    return sum(name.endswith("q_proj.weight") for name in model.tensors)


def texts(tokenizer: Path, known_by: Sequence[Decoder]) -> list[list[str]]:
    """``TEXTS`` windows of Python's own library in words that every model knows."""
    found = Tokenizer.from_file(str(tokenizer))
    words = [spelt(word) for word in found.encode(local_text()[:800_000]).tokens]
    shared = set.intersection(*(set(model.vocabulary) for model in known_by))
    windows = [words[at : at + LENGTH] for at in range(0, len(words) - LENGTH, LENGTH)]
    good = [window for window in windows if shared.issuperset(window)]
    order = torch.randperm(len(good), generator=torch.Generator().manual_seed(1))[:TEXTS]
    return [good[number] for number in order.tolist()]


@torch.no_grad()
def representations(model: Decoder, config: Mapping[str, Any], asked: list[list[str]]) -> Tensor:
    """(texts, width), centred."""
    from transformers import LlamaConfig, LlamaModel

    depth = max(1, round(DEPTH * layers_of(model)))
    made: Any = LlamaModel(LlamaConfig(**{**config, "num_hidden_layers": depth}))
    mine = {name.removeprefix("model."): value.float() for name, value in model.tensors.items()}
    made.load_state_dict({name: mine[name] for name in made.state_dict()})
    made.norm = nn.Identity()
    ids = torch.tensor([[model.vocabulary[word] for word in text] for text in asked])
    told: Tensor = made.eval()(input_ids=ids).last_hidden_state[:, -1]
    return told - told.mean(0)


def by_representations(one: Tensor, other: Tensor) -> float:
    """Linear CKA, 0 to 1."""
    across = (one.T @ other).square().sum()
    return float(across / ((one.T @ one).norm() * (other.T @ other).norm()).clamp_min(1e-12))


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found
