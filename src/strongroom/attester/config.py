"""What an attester is told at its start: JSON on an inherited descriptor, read once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Path = Annotated[str, Meta(max_length=4096)]

Kind = Literal["local", "snp", "tdx", "nitro", "tpm"]
"""Evidence that ``serve`` can bring; ``local`` is the word of software, and needs no attester."""


class EvidenceSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where evidence comes from.

    ``guest`` is the kind of the guest's evidence. ``device`` is which interface gives it:
    ``configfs-tsm`` (SNP and TDX), or the device of the kind itself. ``beside`` is a bundle of the
    same kind with the certificates, revocation lists or collateral that the machine does not
    give, made by ``strongroom attest bundle``. ``gpus`` adds the evidence of NVIDIA GPUs and
    ``gpu_manifests`` a bundle with their signed reference measurements. ``ak`` is the handle or
    context file of a TPM's attestation key.
    """

    guest: Kind = "local"
    device: Literal["configfs-tsm", "own"] = "configfs-tsm"
    beside: _Path = ""
    gpus: bool = False
    gpu_manifests: _Path = ""
    ak: _Path = ""


class AttesterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start-up configuration of one attester: its end of the socket pair, and its sources."""

    attester_fd: Annotated[int, Meta(ge=3)]
    source: EvidenceSource
