"""Fixtures: a small sealed model made once, and a copy of it that a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .models import Sealed, seal_model, some_tensors, write_model, write_sharded


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """One shard, several segments."""
    base = tmp_path_factory.mktemp("pristine")
    return seal_model(write_model(base / "model"), base / "sealed")


@pytest.fixture(scope="session")
def pristine_sharded(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Two shards of the same sizes, so that only cryptography can tell them apart."""
    base = tmp_path_factory.mktemp("sharded")
    shards = [some_tensors(seed=1), {f"b.{k}": v for k, v in some_tensors(seed=2).items()}]
    return seal_model(write_sharded(base / "model", shards), base / "sealed")


@pytest.fixture
def sealed(pristine: Sealed, tmp_path: Path) -> Sealed:
    """A copy to spoil."""
    return copy_of(pristine, tmp_path)


@pytest.fixture
def sharded(pristine_sharded: Sealed, tmp_path: Path) -> Sealed:
    """A copy to spoil."""
    return copy_of(pristine_sharded, tmp_path / "sharded")


def copy_of(original: Sealed, where: Path) -> Sealed:
    shutil.copytree(original.folder, where / "copy")
    return Sealed(where / "copy", original.key, original.manifest)
