"""Many small perceptrons trained as one: their weights stacked, a step of all of them one ``bmm``.

For networks of a few thousand weights the time of a step is its overhead; a stack pays it once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .recipe import Recipe, build, one_thread


def train_stack(
    recipe: Recipe, inputs: Tensor, labels: Tensor, members: Tensor, seed: int
) -> list[nn.Sequential]:
    """One network for each row of ``members`` (models, rows), bool, trained on the rows that it
    marks. ``labels`` as ``recipe.train`` takes them.

    Raises:
        ValueError: the recipe is not a perceptron's, or the models' shares of the
            rows are not of one size.
    """
    if not recipe.dense:
        raise ValueError("only perceptrons are trained as a stack")
    sizes = members.sum(1)
    if not bool((sizes == sizes[0]).all()):
        raise ValueError("models of one stack train on equally many rows")
    networks = [build(recipe, seed + number) for number in range(len(members))]
    stacked = _stacked(networks)
    flat = ((inputs - recipe.input_mean) / recipe.input_std).flatten(1)
    rows = torch.stack([torch.nonzero(mask)[:, 0] for mask in members])
    with one_thread():
        _fit(recipe, stacked, flat, labels, rows, torch.Generator().manual_seed(seed))
    _spread(stacked, networks)
    return networks


def _fit(
    recipe: Recipe,
    stacked: list[Tensor],
    inputs: Tensor,
    labels: Tensor,
    rows: Tensor,
    by: torch.Generator,
) -> None:
    models, count = rows.shape
    size = min(recipe.batch, count)
    total = recipe.epochs * (count // size)
    optimizer = torch.optim.AdamW(stacked, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=total + 1)
    for _ in range(recipe.epochs):
        order = torch.rand(models, count, generator=by).argsort(1)
        mixed = rows.gather(1, order)
        for start in range(0, count // size * size, size):
            chosen = mixed[:, start : start + size]
            logits = _forward(recipe, stacked, inputs[chosen])
            # Summed over models, averaged within each: every model sees its own mean loss.
            loss = functional.cross_entropy(
                logits.flatten(0, 1), labels[chosen].flatten(0, 1), reduction="sum"
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss / size)
            optimizer.step()
            schedule.step()


def _forward(recipe: Recipe, stacked: list[Tensor], inputs: Tensor) -> Tensor:
    values, weights = inputs, iter(stacked)
    for layer in recipe.layers:
        if layer["type"] == "flatten":
            continue  # rows come flat
        if layer["type"] == "relu":
            values = values.relu()
        elif layer.get("bias", True):
            weight, bias = next(weights), next(weights)
            values = torch.baddbmm(bias[:, None], values, weight.mT)
        else:
            values = torch.bmm(values, next(weights).mT)
    return values


def _stacked(networks: list[nn.Sequential]) -> list[Tensor]:
    parts = zip(*(network.parameters() for network in networks), strict=True)
    return [torch.stack([each.detach() for each in part]).requires_grad_(True) for part in parts]


def _spread(stacked: list[Tensor], networks: list[nn.Sequential]) -> None:
    for number, network in enumerate(networks):
        for part, values in zip(network.parameters(), stacked, strict=True):
            part.data.copy_(values[number].detach())
        network.eval().requires_grad_(False)
