"""Real data for the example classifiers; ``strongroom.exposure.demo.images`` reads it."""

from __future__ import annotations

from strongroom.exposure.demo.images import (
    FASHION_FOLDER,
    FASHION_LABELS,
    Dataset,
    digits,
    fashion,
)

__all__ = ["FASHION_FOLDER", "FASHION_LABELS", "Dataset", "digits", "fashion"]
