"""Steps 2 to 4 of a keeper's life: from a sealed folder to open weights and a wiped key."""

from __future__ import annotations

import base64
import binascii
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Protocol

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.manifest import Manifest, read_manifest, recipient_context
from strongroom.artifact.opening import OpenedModel, open_sealed
from strongroom.artifact.rewrap import read_recipients
from strongroom.artifact.signing import PublicSigner
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.errors import ArtifactRefused, ConfigurationRefused
from strongroom.keeper.lease import HeldLease, since_boot
from strongroom.process import inherited_socket
from strongroom.release.client import obtain_key
from strongroom.release.evidence import Attester
from strongroom.release.requester import Grant


@dataclass(frozen=True, slots=True)
class Loaded:
    """Open weights, and the lease under which they may be used."""

    model: OpenedModel
    lease: HeldLease


class Opening(Protocol):
    """What a process is told that opens a sealed model; see ``config``."""

    @property
    def sealed(self) -> str:
        """The sealed folder."""

    @property
    def signers(self) -> tuple[str, ...]:
        """Whose signature is accepted."""

    @property
    def service_key(self) -> str:
        """Pins key release."""

    @property
    def release_state(self) -> str:
        """Remembers the newest releases."""

    @property
    def release_fd(self) -> int:
        """The socket to key release."""

    @property
    def strict(self) -> bool:
        """Whether segments are checked against the signed list."""

    @property
    def threads(self) -> int:
        """That open the model."""


def load(
    config: Opening, attester: Attester, derive: Callable[[DataKey], None] | None = None
) -> Loaded:
    """Steps 2 to 4; see ``process``. Afterwards no copy of the data key is in this process.

    The socket to key release stays open, for the lease to be renewed.

    Args:
        config: what the keeper was told.
        attester: produces the evidence, now and at each renewal.
        derive: shown the key before it is wiped, for keys that come from it (``tune``).

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
    with inherited_socket(config.release_fd, "release_fd") as release:
        asked = since_boot()
        grant = _asked(release, config, attester, manifest)  # (3)
        try:
            if derive is not None:
                derive(grant.key)
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
        if model.manifest.digest != manifest.digest:
            model.wipe()
            raise ArtifactRefused(
                "keeper.sealed_changed",
                "The sealed model was replaced while it was being opened.",
                action="Start again once nobody writes to the folder.",
            )
        lease = HeldLease(grant.lease, asked, grant.renewer, release.detach())
    del grant
    gc.collect()  # ciphers that hang in cycles would keep their key schedules
    return Loaded(model, lease)


def obtain(config: Opening, attester: Attester, manifest: Manifest) -> Grant:
    """Step 3 alone, for who needs the key and no longer than its lease. The caller wipes it."""
    with inherited_socket(config.release_fd, "release_fd") as release:
        return _asked(release, config, attester, manifest)


def _asked(release: socket, config: Opening, attester: Attester, manifest: Manifest) -> Grant:
    return obtain_key(
        release,
        recipients=read_recipients(Path(config.sealed)),
        context=recipient_context(manifest),
        model=manifest.model_id,
        release=manifest.release,
        manifest_digest=manifest.digest,
        evidence=attester,
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
