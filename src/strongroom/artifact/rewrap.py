"""Recipients: who holds a wrapped copy of the data key. Replaceable without touching a weight.

``recipients.json`` is not signed. What an edit of it can do is take access away: a stanza that
unwraps to another key fails the key commitment of the signed manifest. Removing a recipient does
not take back a key that he has unwrapped already: seal a new release with a new key for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact import canonical, names
from strongroom.artifact.durable import sync_folder, write_durably
from strongroom.artifact.folder import SealedFolder
from strongroom.artifact.reasons import refuse, shown
from strongroom.artifact.recipients import Recipient

MAX_RECIPIENTS = 1024
MAX_RECIPIENTS_BYTES = 32 * 1024 * 1024


class Recipients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``recipients.json``."""

    version: Literal[1]
    recipients: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=MAX_RECIPIENTS)]


def encode_recipients(recipients: Sequence[Recipient]) -> bytes:
    """The file's bytes; ``artifact.no_recipients`` for an empty list."""
    if not recipients:
        raise refuse("artifact.no_recipients")
    raw = canonical.encode(Recipients(1, tuple(recipients)))
    canonical.decode(raw, Recipients, names.RECIPIENTS)  # bounds of what callers passed
    return raw


def read_recipients(folder: Path) -> tuple[Recipient, ...]:
    """The stanzas of the sealed model in ``folder``, unauthenticated."""
    with SealedFolder(folder) as sealed:
        raw = sealed.read(names.RECIPIENTS, MAX_RECIPIENTS_BYTES)
    return canonical.decode(raw, Recipients, names.RECIPIENTS).recipients


def replace_recipients(folder: Path, recipients: Sequence[Recipient]) -> None:
    """Write the stanzas anew: beside the folder, on the disk, then renamed over the old file.

    The new file is written in the parent folder, so that a crash never leaves a foreign file
    inside the sealed model.
    """
    raw = encode_recipients(recipients)
    read_recipients(folder)  # it is a sealed model, and what is replaced is such a file
    where = folder.resolve()
    beside = where.parent / f".{where.name}{names.UNFINISHED}{secrets.token_hex(8)}"
    try:
        write_durably(beside, raw, mode=0o644)
        beside.replace(where / names.RECIPIENTS)
        sync_folder(where)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        text = problem.strerror or "unknown error"
        raise refuse("artifact.write_failed", where=shown(where), problem=text) from None
