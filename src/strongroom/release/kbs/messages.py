"""What a guest sends, bounded and strict: unknown fields and names that stand twice are refused."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from strongroom.release.kbs.reasons import refuse

VERSION: Final = "0.4.0"
MAX_BYTES: Final = 1024 * 1024
_T = TypeVar("_T")

_Text = Annotated[str, Meta(max_length=256)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Base: names with hyphens on the wire."""


class TeeMetadata(_Message, frozen=True):
    """One TEE of a guest. What it says of itself is not evidence, and is not used."""

    tee: _Text
    metadata: Any = None


class AllMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tee-metadata``; these names have underscores on the wire."""

    primary_tee: TeeMetadata
    additional_tees: tuple[TeeMetadata, ...] = ()


class ExtraParams(_Message, frozen=True):
    """``extra-params`` where it is an object; what a hash algorithm would be is fixed here."""

    tee_metadata: AllMetadata | None = None
    attestation_policy_selector: _Text | None = None
    supported_hash_algorithms: tuple[_Text, ...] = ()


class Request(_Message, frozen=True):
    """Body of ``/kbs/v0/auth``. ``extra-params`` is an object, an empty string or null."""

    version: _Text
    tee: _Text
    extra_params: ExtraParams | str | None = None


class RuntimeData(_Message, frozen=True):
    """The challenge's nonce, and the guest's public key as a JWK of texts."""

    nonce: _Text
    tee_pubkey: dict[str, Annotated[str, Meta(max_length=2048)]]


class TeeEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence of the CPU, and that of devices as one text (names with underscores on the wire)."""

    primary_evidence: msgspec.Raw
    additional_evidence: str = ""


class InitData(_Message, frozen=True):
    """Configuration that the host put into the guest. It is measured, and not looked at here."""

    format: _Text
    body: str


class Attestation(_Message, frozen=True):
    """Body of ``/kbs/v0/attest``."""

    runtime_data: RuntimeData
    tee_evidence: TeeEvidence
    init_data: InitData | None = None


def decode(body: bytes, kind: type[_T]) -> _T:
    """The message in ``body``.

    Raises:
        KeyRefused: ``release.kbs_oversized`` or ``release.kbs_malformed``.
    """
    if len(body) > MAX_BYTES:
        raise refuse("release.kbs_oversized")
    try:
        message = msgspec.json.decode(body, type=kind)
        # Two names alike in one object: one reader takes the first, another the last.
        json.loads(body, object_pairs_hook=_unique)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise refuse("release.kbs_malformed") from None
    return message


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
