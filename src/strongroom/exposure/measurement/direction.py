"""Is a direction nearer to one of many known vectors than chance, and than what they all share?

Hidden activations share a few large directions, so that a plain cosine says little. Two answers:
``beyond_chance`` whitens by the second moments and compares with random bases; ``apart`` takes out
what the vectors have most in common.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from strongroom.exposure.interface import Floats

_BASES: Final = 500
_UNMEASURABLE: Final = 0.995
"""From this squared cosine on chance is as good as the truth: the rank is too low to judge."""

_SURE: Final = 0.25
"""Largest squared angle, of chance's, that counts as a find."""


def beyond_chance(
    right: Floats, images: Floats, by: np.random.Generator
) -> tuple[int, float | None]:
    """Which image is met best by any of the directions, and how much better than by chance.

    1. Both are whitened by the images' second moments, so that a common direction of all is worth
       no more than any other; the best cosine is taken.
    2. The same is done with 500 random bases in the place of the directions; half the angle of the
       best of those is chance. What is nearer is told as a cosine from 0 (chance) to 1 (exact); but
       only from half that angle again on: data leave some order in every basis.

    Args:
        right: (rank, rank), orthonormal directions as rows.
        images: (n, rank), more than twice the rank.

    Returns:
        The place of the image, and the cosine; None where it cannot be judged.
    """
    count, rank = images.shape
    if rank < 2 or count < 2 * rank:
        return 0, None
    values, turned = np.linalg.eigh(images.T @ images / count)
    whiten = turned / np.sqrt(np.maximum(values, values[-1] * 1e-10))
    whitened = unit(images @ whiten)
    cosines = np.abs(whitened @ unit(right @ whiten).T).max(1)
    at = int(cosines.argmax())
    chance = 0.0
    for _ in range(_BASES):
        basis, _upper = np.linalg.qr(by.standard_normal((rank, rank)))
        chance = max(chance, float(np.abs(whitened @ basis).max()))
    if chance**2 >= _UNMEASURABLE:
        return at, None
    nearer = (1.0 - min(1.0, float(cosines[at])) ** 2) / ((1.0 - chance**2) / 4.0)
    return at, float(np.sqrt(1.0 - nearer)) if nearer <= _SURE else 0.0


def apart(direction: Floats, vectors: Floats, common: Floats) -> Floats:
    """Absolute cosines (n,) of a direction (width,) with vectors (n, width), without ``common``.

    Args:
        common: (k, width), orthonormal rows that are taken out of both.
    """
    inside, others = (each - each @ common.T @ common for each in (direction, vectors))
    found: Floats = np.abs(unit(others) @ unit(inside[None])[0])
    return found


def shared(vectors: Floats) -> Floats:
    """The direction (1, width) that vectors (n, width) have most in common, of unit length."""
    _, turned = np.linalg.eigh(vectors.T @ vectors)
    found: Floats = turned[:, -1:].T
    return found


def unit(rows: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return found
