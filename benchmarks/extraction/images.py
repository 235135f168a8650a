"""Honest users of a classifier, and those who copy it. Inputs are flat float32 rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from demo.classifiers import RECIPES, _fit, _normalised
from demo.datasets import Dataset

_STEP = 0.1
_SEEDS = 100


HABITS = {"plain": 0.55, "camera": 0.15, "repeats": 0.15, "noisy": 0.15}
"""Honest organisations: images as they come, runs of nearly the same frame, calls sent again after
a failure, a noisier sensor; and their shares."""


@dataclass
class Target:
    """A trained classifier that answers with labels, and the data around it.

    ``rows`` and ``truth``: all images, flat, and what they show; ``others``: images of another data
    set in this one's shape, for attackers who have no better.
    """

    data: Dataset
    network: nn.Module
    others: np.ndarray
    rows: np.ndarray
    truth: np.ndarray

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """What the model says of flat rows."""
        shape = self.data.train_inputs.shape[1:]
        inputs = rows.reshape(-1, *shape).astype(np.float32)
        with torch.no_grad():
            return self.network(_normalised(self.data, inputs)).argmax(1).numpy()


def target(name: str) -> Target:
    """Train the demo's classifier of that name."""
    data = RECIPES[name].load()
    foreign = RECIPES["fashion" if name == "digits" else "digits"].load()
    side = int(data.train_inputs[0].size ** 0.5)
    images = foreign.test_inputs.reshape(
        len(foreign.test_inputs), 1, int(foreign.test_inputs[0].size ** 0.5), -1
    )
    scaled = nn.functional.interpolate(
        torch.from_numpy(images), size=(side, side), mode="bilinear"
    ).numpy()
    inputs = np.concatenate([data.train_inputs, data.test_inputs])
    return Target(
        data,
        _fit(RECIPES[name], data),
        scaled.reshape(len(scaled), -1) * (data.largest / foreign.largest),
        inputs.reshape(len(inputs), -1),
        np.concatenate([data.train_labels, data.test_labels]),
    )


def honest(of: Target, habit: str, count: int, by: np.random.Generator) -> np.ndarray:
    """One organisation's images: its own mix of classes, and its habit."""
    mix = by.dirichlet(np.full(10, 0.7))[of.truth]
    chosen = by.choice(len(of.truth), count, replace=count > 1000, p=mix / mix.sum())
    rows = _vary(of, of.rows[chosen], by)
    match habit:
        case "camera":
            rows = rows[np.repeat(np.arange(count), by.integers(1, 8, count))[:count]]
            return np.clip(rows + _noise(of, rows, 0.01, by), 0, of.data.largest)
        case "repeats":
            return rows[np.maximum(0, np.arange(count) - (by.random(count) < 0.2))]
        case "noisy":
            return np.clip(rows + _noise(of, rows, 0.05, by), 0, of.data.largest)
    return rows


def _vary(of: Target, rows: np.ndarray, by: np.random.Generator) -> np.ndarray:
    """Shift by up to a pixel and add a little noise: no two photographs are the same."""
    side = int(rows.shape[1] ** 0.5)
    images = rows.reshape(-1, side, side)
    shifts = by.integers(-1, 2, (len(rows), 2))
    moved = [np.roll(i, tuple(s), (0, 1)) for i, s in zip(images, shifts, strict=True)]
    flat = np.stack(moved).reshape(len(rows), -1)
    return np.clip(flat + _noise(of, flat, 0.02, by), 0, of.data.largest)


def _noise(of: Target, rows: np.ndarray, share: float, by: np.random.Generator) -> np.ndarray:
    return by.normal(0, share * of.data.largest, rows.shape).astype(np.float32)


def random_inputs(of: Target, count: int, by: np.random.Generator) -> np.ndarray:
    """Even noise (Tramer et al. 2016)."""
    return by.uniform(0, of.data.largest, (count, of.rows.shape[1])).astype(np.float32)


def in_distribution(of: Target, count: int, by: np.random.Generator) -> np.ndarray:
    """Images like the owner's, of every class alike."""
    return _vary(of, of.rows[by.choice(len(of.rows), count, replace=count > len(of.rows))], by)


def foreign(of: Target, count: int, by: np.random.Generator) -> np.ndarray:
    """Images of another data set (Knockoff Nets, Orekondy et al. 2019)."""
    chosen = by.choice(len(of.others), count)
    return _vary(of, of.others[chosen].astype(np.float32), by)


def jacobian(of: Target, count: int, by: np.random.Generator) -> np.ndarray:
    """Jacobian-based augmentation (Papernot et al. 2017): a hundred images, then again and again a
    step from each known one along the sign of the substitute's gradient for its label."""
    known = in_distribution(of, min(_SEEDS, count), by)
    torch.manual_seed(int(by.integers(2**31)))
    width = known.shape[1]
    substitute = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(substitute.parameters(), 1e-3)
    while len(known) < count:
        labels = torch.from_numpy(of.labels(known))
        inputs = torch.from_numpy(known / of.data.largest * 2 - 1)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(substitute(inputs), labels).backward()
            optimizer.step()
        inputs.requires_grad_(True)
        substitute(inputs).gather(1, labels[:, None]).sum().backward()
        step = _STEP * of.data.largest * np.sign(inputs.grad.numpy())
        known = np.concatenate([known, np.clip(known + step, 0, of.data.largest)])
    return known[:count].astype(np.float32)


ATTACKS: dict[str, Callable[[Target, int, np.random.Generator], np.ndarray]] = {
    "random inputs": random_inputs,
    "Jacobian augmentation": jacobian,
    "foreign images": foreign,
    "in-distribution": in_distribution,
}
