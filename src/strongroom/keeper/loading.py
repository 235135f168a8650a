"""Steps 2 to 4 of a keeper's life: from a sealed folder to open weights and a wiped key."""

from __future__ import annotations

import base64
import binascii
import gc
import time
from dataclasses import dataclass
from pathlib import Path

from strongroom.artifact.manifest import Manifest, read_manifest, recipient_context
from strongroom.artifact.opening import OpenedModel, open_sealed
from strongroom.artifact.rewrap import read_recipients
from strongroom.artifact.signing import PublicSigner
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.errors import ArtifactRefused, ConfigurationRefused
from strongroom.keeper.config import KeeperConfig
from strongroom.process import inherited_socket
from strongroom.release.client import obtain_key
from strongroom.release.evidence import LocalAttester
from strongroom.release.requester import Grant


@dataclass(frozen=True, slots=True)
class Loaded:
    """Open weights, and the moment of the monotonic clock until which they may be used."""

    model: OpenedModel
    lease_end: float


def load(config: KeeperConfig, config_digest: str) -> Loaded:
    """Steps 2 to 4; see ``process``. Afterwards no copy of the data key is in this process.

    Args:
        config: what the keeper was told.
        config_digest: SHA-256 of it as it came, hex; evidence states it.

    Raises:
        ArtifactRefused: the sealed model is not acceptable.
        KeyRefused: key release did not grant the key, or it is not this model's.
        ConfigurationRefused: ``keeper.service_key_malformed``.
    """
    folder = Path(config.sealed)
    trust = Trust([PublicSigner.decode(signer) for signer in config.signers])
    state = ReleaseState(Path(config.release_state))
    manifest = read_manifest(folder, trust)  # (2)
    state.check(manifest)
    grant = _obtain(config, config_digest, manifest)  # (3)
    try:
        model = open_sealed(  # (4)
            folder,
            grant.key,
            trust=trust,
            state=state,
            strict=config.strict,
            threads=config.threads,
        )
    finally:
        grant.key.wipe()
    lease_end = time.monotonic() + grant.lease.not_after - time.time()
    del grant
    gc.collect()  # ciphers that hang in cycles would keep their key schedules
    if model.manifest.digest != manifest.digest:
        model.wipe()
        raise ArtifactRefused(
            "keeper.sealed_changed",
            "The sealed model was replaced while it was being opened.",
            action="Start again once nobody writes to the folder.",
        )
    return Loaded(model, lease_end)


def _obtain(config: KeeperConfig, config_digest: str, manifest: Manifest) -> Grant:
    with inherited_socket(config.release_fd, "release_fd") as release:
        return obtain_key(
            release,
            recipients=read_recipients(Path(config.sealed)),
            context=recipient_context(manifest),
            manifest_digest=manifest.digest,
            evidence=LocalAttester(config_digest),
            service_key=_service_key(config.service_key),
        )


def _service_key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise ConfigurationRefused(
            "keeper.service_key_malformed",
            "The pinned key of the key-release service is not 32 bytes of base64.",
            action="Start keepers with `strongroom serve`, which writes it.",
        )
    return raw
