"""Embeddings as the served door gives them: a direction in steps of 1/127 of its largest part."""

from __future__ import annotations

import numpy as np

from strongroom.exposure.interface import Floats

_MOST = 127


def in_steps(pooled: Floats) -> Floats:
    """Rows (texts, width) in steps, then of length one, as a caller gets them."""
    steps = np.round(pooled / np.abs(pooled).max(axis=1, keepdims=True) * _MOST)
    found: Floats = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    return found
