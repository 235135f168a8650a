"""Opening a sealed model on its owner's machine, for the rungs that no door serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.policy import EgressCeiling
from strongroom.cli.home import Home
from strongroom.exposure.reasons import refuse


@dataclass(frozen=True, repr=False)
class Opened:
    """Configuration, files, tensors and policy of an opened model; ``digest`` of its manifest.

    ``reopen`` opens another folder as the owner's reader would, with this model's key and the
    home's trust, and forgets what it opened; the reader's refusals.
    """

    name: str
    release: int
    digest: str
    rungs: dict[str, str]
    config: dict[str, Any]
    files: dict[str, bytes]
    tensors: dict[str, torch.Tensor]
    folder: Path
    deployment: EgressCeiling | None
    tenant: EgressCeiling | None
    reopen: Callable[[Path], None]


@contextmanager
def opened(home: Home, sealed: Path, passphrase_file: Path | None) -> Iterator[Opened]:
    """The model while the block runs; its weights are wiped afterwards.

    Raises:
        ArtifactRefused: it is not acceptable.
        KeyRefused: no key of the home opens it.
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli.unlocking import data_key

    manifest = read_manifest(sealed, home.trust)
    home.releases.check(manifest)
    with data_key(home, sealed, manifest, passphrase_file) as key:
        yield from _opened(home, sealed, key)


def _opened(home: Home, sealed: Path, key: DataKey) -> Iterator[Opened]:
    from strongroom.artifact.manifest import read_manifest
    from strongroom.artifact.opening import open_sealed
    from strongroom.keeper.arena import tensors_over

    def reopen(folder: Path) -> None:
        home.releases.check(read_manifest(folder, home.trust))
        open_sealed(folder, key, trust=home.trust, state=None).wipe()

    model = open_sealed(sealed, key, trust=home.trust, state=None)
    manifest = model.manifest
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
            sealed,
            model.policy.deployment,
            model.policy.tenant,
            reopen,
        )
    finally:
        model.wipe()
