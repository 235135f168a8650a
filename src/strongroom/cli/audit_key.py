"""The key that signs a home's audits: Ed25519, in ``keys/audit.key``, made when first needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.errors import KeyRefused

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.exposure.results import Results
    from strongroom.report.statement import Signer


_KEY_BYTES = 32


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seed: Annotated[bytes, Meta(min_length=32, max_length=32)]
    format: Literal["strongroom audit key v1"] = "strongroom audit key v1"

    def __repr__(self) -> str:
        return "_File()"


def signed(home: Home, results: Results) -> bytes:
    """The results as a signed statement."""
    from strongroom.report.statement import envelope

    return envelope(results, load_or_create(home.keys / "audit.key"))


def public_key(home: Home) -> bytes | None:
    """The home's audit key, 32 bytes; None where it has signed nothing yet.

    Raises:
        KeyRefused: ``cli.audit_key_malformed``.
    """
    path = home.keys / "audit.pub"
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = b""
    if len(found) != _KEY_BYTES:
        raise KeyRefused(
            "cli.audit_key_malformed",
            f"{path} is not an audit key.",
            action="Restore it from a copy, or remove it with audit.key: new ones are made then.",
        )
    return found


def load_or_create(path: Path) -> Signer:
    """The key in ``path``; a fresh one where there is none.

    Raises:
        KeyRefused: ``cli.audit_key_malformed``, or a code of ``private_file``.
    """
    from strongroom.keys.private_file import read_document, write_document
    from strongroom.report.statement import Signer

    if not os.path.lexists(path):
        signer = Signer.generate()
        write_document(path, _File(signer.seed()))
        path.with_suffix(".pub").write_text(signer.public.hex() + "\n", encoding="ascii")
        return signer
    malformed = KeyRefused(
        "cli.audit_key_malformed",
        f"{path} is not an audit key.",
        action="Restore it from a copy, or remove it: a new one is made at the next audit.",
    )
    return Signer(read_document(path, _File, malformed).seed)
