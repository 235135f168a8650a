"""The reference models that membership attacks calibrate with: trained once, shared by all.

Half of the candidates, drawn anew for every model, train it: so each candidate has been seen by
half of the models (in) and not by the others (out), which is what LiRA's online form and RMIA
want.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.exposure.interface import Knowledge
from strongroom.exposure.reasons import refuse

from .recipe import Recipe, build, logits_of, train
from .stack import train_stack

_MODELS = 16


@dataclass(frozen=True, slots=True)
class References:
    """``members`` (models, rows), bool: which candidate trained which of ``networks``."""

    members: Tensor
    networks: tuple[nn.Sequential, ...]

    def first(self, count: int) -> References:
        """The first ``count`` models."""
        return References(self.members[:count], self.networks[:count])

    def logits(self, inputs: Tensor) -> Tensor:
        """(models, rows, classes)."""
        return torch.stack([logits_of(network, inputs) for network in self.networks])


def references_for(knowledge: Knowledge, seed: int, models: int | None) -> References:
    """The shared references of ``knowledge``; trained now if it has only the recipe.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``.
    """
    found = knowledge.references
    if found is None:
        if knowledge.recipe is None:
            raise refuse(
                "exposure.knowledge_lacking", what="reference models, or the recipe to train them"
            )
        asked = knowledge.asked
        inputs, labels = torch.from_numpy(asked.inputs), torch.from_numpy(asked.labels)
        found = train_references(knowledge.recipe, inputs, labels, models or _MODELS, seed)
    if not isinstance(found, References) or found.members.shape[1] != len(knowledge.asked):
        raise refuse(
            "exposure.knowledge_lacking",
            what="references trained on halves of the records asked about",
        )
    return found.first(models) if models else found


def halves(models: int, rows: int, seed: int) -> Tensor:
    """(models, rows), bool. Models in pairs of a half and its complement: in and out balance."""
    by = torch.Generator().manual_seed(seed)
    masks = torch.zeros(models, rows, dtype=torch.bool)
    for number in range(0, models, 2):
        order = torch.randperm(rows, generator=by)
        masks[number, order[: rows // 2]] = True
        if number + 1 < models:
            masks[number + 1, order[rows // 2 : rows // 2 * 2]] = True
    return masks


def train_references(
    recipe: Recipe, inputs: Tensor, labels: Tensor, models: int, seed: int
) -> References:
    """Train ``models`` networks on random halves of the candidates (rows, *input_shape)."""
    members = halves(models, len(inputs), seed)
    if recipe.dense:
        return References(members, tuple(train_stack(recipe, inputs, labels, members, seed)))
    networks = (
        train(recipe, inputs[mask], labels[mask], seed + number)
        for number, mask in enumerate(members)
    )
    return References(members, tuple(networks))


def cached_references(
    folder: Path | None, recipe: Recipe, inputs: Tensor, labels: Tensor, models: int, seed: int
) -> References:
    """``train_references``, or what it gave before for the same recipe, candidates, count and seed.

    A file that does not hold what it should is trained again. ``folder`` None keeps nothing.
    """
    if folder is None:
        return train_references(recipe, inputs, labels, models, seed)
    path = folder / f"references-{_digest(recipe, inputs, labels, models, seed)}.npz"
    found = _read(path, recipe, models, len(inputs))
    if found is None:
        found = train_references(recipe, inputs, labels, models, seed)
        _write(path, found)
    return found


def cached_model(
    folder: Path | None, recipe: Recipe, inputs: Tensor, labels: Tensor, seed: int
) -> nn.Sequential:
    """``train``, or what it gave before; kept as a pool of one model that saw every row."""
    if folder is None:
        return train(recipe, inputs, labels, seed)
    path = folder / f"model-{_digest(recipe, inputs, labels, 1, seed)}.npz"
    found = _read(path, recipe, 1, len(inputs))
    if found is None:
        everyone = torch.ones(1, len(inputs), dtype=torch.bool)
        found = References(everyone, (train(recipe, inputs, labels, seed),))
        _write(path, found)
    return found.networks[0]


def _digest(recipe: Recipe, inputs: Tensor, labels: Tensor, models: int, seed: int) -> str:
    seen = hashlib.sha256(f"{recipe.digest} {models} {seed} {torch.__version__}".encode())
    seen.update(inputs.contiguous().numpy().tobytes())
    seen.update(labels.contiguous().numpy().tobytes())
    return seen.hexdigest()[:32]


def _write(path: Path, references: References) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"members": references.members.numpy()}
    for number, part in enumerate(zip(*(n.parameters() for n in references.networks), strict=True)):
        arrays[f"part{number}"] = torch.stack(part).numpy()
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    Path(file.name).replace(path)


def _read(path: Path, recipe: Recipe, models: int, rows: int) -> References | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            members = torch.from_numpy(arrays["members"])
            networks = [build(recipe, 0) for _ in range(models)]
            for number, network in enumerate(networks):
                for index, part in enumerate(network.parameters()):
                    part.data.copy_(torch.from_numpy(arrays[f"part{index}"][number]))
                network.eval().requires_grad_(False)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, zipfile.BadZipFile):
        return None
    if members.shape != (models, rows):
        return None
    return References(members, tuple(networks))
