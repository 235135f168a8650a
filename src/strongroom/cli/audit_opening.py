"""Opening a sealed model on its owner's machine, for the rungs that no door serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from strongroom.cli.home import Home
from strongroom.exposure.reasons import refuse


@dataclass(frozen=True, repr=False)
class Opened:
    """Configuration, files, tensors and policy of an opened model; ``digest`` of its manifest."""

    name: str
    release: int
    digest: str
    rungs: dict[str, str]
    config: dict[str, Any]
    files: dict[str, bytes]
    tensors: dict[str, torch.Tensor]


@contextmanager
def opened(home: Home, sealed: Path, passphrase_file: Path | None) -> Iterator[Opened]:
    """The model while the block runs; its weights are wiped afterwards.

    Raises:
        ArtifactRefused: it is not acceptable.
        KeyRefused: no key of the home opens it.
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.artifact.opening import open_sealed
    from strongroom.cli.unlocking import data_key
    from strongroom.keeper.arena import tensors_over

    manifest = read_manifest(sealed, home.trust)
    home.releases.check(manifest)
    with data_key(home, sealed, manifest, passphrase_file) as key:
        model = open_sealed(sealed, key, trust=home.trust, state=None)
    try:
        try:
            config = json.loads(model.files["config.json"])
        except (KeyError, ValueError):
            raise refuse("exposure.model_unsupported", why="it has no config.json") from None
        yield Opened(
            manifest.model_id,
            manifest.release,
            manifest.digest,
            dict(model.policy.rungs),
            config,
            model.files,
            tensors_over(model.arena, model.tensors),
        )
    finally:
        model.wipe()
