"""Real images for the demonstration, read from where they are installed; nothing is fetched.

Digits: 1,797 images of 8 x 8 pixels (UCI, by way of scikit-learn). Fashion-MNIST: 70,000 images of
28 x 28 (Zalando Research, MIT licence), where Debian's ``dataset-fashion-mnist`` is installed.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs as float32 of shape (rows, *input_shape), labels as int64 of shape (rows,)."""

    train_inputs: np.ndarray
    train_labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    labels: tuple[str, ...]
    largest: float
    """Inputs lie between 0 and this."""


def digits() -> Dataset:
    """Handwritten digits; every fifth image is held out."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    inputs, labels = inputs.astype(np.float32), labels.astype(np.int64)
    held_out = np.arange(len(labels)) % 5 == 0
    return Dataset(
        inputs[~held_out], labels[~held_out], inputs[held_out], labels[held_out],
        tuple(map(str, range(10))), 16.0,
    )  # fmt: skip


def fashion(folder: Path = FASHION_FOLDER) -> Dataset:
    """Articles of clothing; the data's own division.

    Raises:
        FileNotFoundError: the data are not installed.
        ValueError: a file is not of the IDX form.
    """
    parts = [
        _idx(folder / f"{part}-{kind}-ubyte.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    images, labels, test_images, test_labels = parts
    return Dataset(
        images[:, None].astype(np.float32), labels.astype(np.int64),
        test_images[:, None].astype(np.float32), test_labels.astype(np.int64),
        FASHION_LABELS, 255.0,
    )  # fmt: skip


def _idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: two zeros, type 8, number of axes, the axes, the bytes."""
    content = gzip.decompress(path.read_bytes())
    kind, axes = struct.unpack_from(">HBB", content)[1:]
    shape = struct.unpack_from(f">{axes}I", content, 4)
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if kind != 8 or data.size != int(np.prod(shape)):
        raise ValueError(f"{path} is not an IDX file of bytes")
    return data.reshape(shape)
