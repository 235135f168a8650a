"""The owner's word that one adapter may leave: signed, for one job, to named recipients.

Signed with the key that signs models, over a label and canonical JSON: a grant can never be read as
a manifest, nor a manifest as a grant. It allows the gate to be asked; it does not replace it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.artifact.signing import PublicSigner, Signatures, SigningKey
from strongroom.errors import StrongroomError
from strongroom.tune.reasons import refuse

_LABEL: Final = b"strongroom adapter export grant v1\0"
_MOST_BYTES: Final = 64 * 1024


class ExportGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``job`` of ``organisation`` over the base with digest ``manifest`` may leave, encrypted to
    all of ``recipients`` and nobody else, before ``not_after`` (Unix time)."""

    job: str
    organisation: str
    manifest: str
    recipients: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    not_after: int


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grant: ExportGrant
    signer: str
    ed25519: bytes
    ml_dsa_65: bytes


def signed(grant: ExportGrant, key: SigningKey) -> bytes:
    """The grant with both signatures, JSON."""
    signatures = key.sign(_message(grant))
    made = _Signed(grant, signatures.signer, signatures.ed25519 or b"", signatures.ml_dsa_65 or b"")
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def checked(path: Path, signers: Sequence[PublicSigner], now: int) -> ExportGrant:
    """The grant in ``path``, if one of ``signers`` gave it and it still lasts.

    Raises:
        ExposureRefused: ``tune.export_grant``.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise ValueError("it is too large")
        found = msgspec.json.decode(raw, type=_Signed)
        signer = next((each for each in signers if each.fingerprint == found.signer), None)
        if signer is None:
            raise ValueError("nobody whom this home trusts signed it")
        signer.verify(
            _message(found.grant), Signatures(found.signer, found.ed25519, found.ml_dsa_65)
        )
    except (OSError, msgspec.MsgspecError, ValueError, StrongroomError) as error:
        raise refuse("tune.export_grant", why=str(error)[:200]) from None
    if now >= found.grant.not_after:
        raise refuse("tune.export_grant", why="it has ended")
    return found.grant


def require_same(
    grant: ExportGrant, *, job: str, organisation: str, manifest: str, allowed: Sequence[str]
) -> None:
    """The grant is about this export, and names recipients that the settings allow, if they do.

    Raises:
        ExposureRefused: ``tune.export_grant``.
    """
    if (grant.job, grant.organisation, grant.manifest) != (job, organisation, manifest):
        raise refuse("tune.export_grant", why="it is about another job, organisation or base")
    if allowed and not set(grant.recipients) <= set(allowed):
        raise refuse("tune.export_grant", why="it names a recipient that the settings do not")


def _message(grant: ExportGrant) -> bytes:
    return _LABEL + msgspec.json.encode(grant, order="sorted")
