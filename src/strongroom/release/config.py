"""What a key-release process is told at its start: JSON on an inherited descriptor, read once."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.release.policies.document import Document

_Text = Annotated[str, Meta(min_length=1, max_length=4096)]
_Descriptor = Annotated[int, Meta(ge=3)]
_Manifest = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]


class KeyringUnlocker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="keyring"):
    """A keyring file; with ``passphrase_fd`` its passphrase is read there until the end."""

    path: _Text
    passphrase_fd: _Descriptor | None = None


class HpkeUnlocker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hpke"):
    """An HPKE identity file."""

    path: _Text


class VaultUnlocker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="vault"):
    """A transit key of Vault or OpenBao. ``token`` is a private file that holds the token."""

    address: _Text
    key: _Text
    token: _Text
    mount: _Text = "transit"
    namespace: str | None = None
    ca: str | None = None


class AwsKmsUnlocker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="aws-kms"):
    """A key of AWS KMS, by its ARN; credentials come from the environment as AWS defines it."""

    key: _Text
    region: _Text
    endpoint: str | None = None


Unlocker = KeyringUnlocker | HpkeUnlocker | VaultUnlocker | AwsKmsUnlocker


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where approvals are: the store's file or URL, and the list of who may approve."""

    store: _Text
    approvers: _Text


class Lineage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where revocations and derivations are kept: the store's file or URL."""

    store: _Text


class ReleaseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start-up configuration of one key-release process.

    ``service_key`` is the private file of the Ed25519 key that signs answers, ``unlockers`` the
    keys that can open stanzas, ``release_fd`` the socket to the workload, ``policy`` says who may
    have a key, ``manifest`` of which model alone (empty: of any), ``once`` to forget the unlockers
    after the first release, ``grants`` where approvals are found if the policy demands any,
    ``lineage`` where it stands which models are revoked.
    """

    service_key: _Text
    unlockers: Annotated[tuple[Unlocker, ...], Meta(min_length=1, max_length=16)]
    release_fd: _Descriptor
    policy: Document
    manifest: _Manifest = ""
    once: bool = False
    grants: Grants | None = None
    lineage: Lineage | None = None
