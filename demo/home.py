"""What the owner of a home can do with it in Python: unwrap a data key, say whom it trusts."""

from __future__ import annotations

from pathlib import Path

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.manifest import read_manifest, recipient_context
from strongroom.artifact.rewrap import read_recipients
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.cli.home import open_home
from strongroom.keys.keyring import FileKeyring


def trust(home: Path) -> Trust:
    """Whose signatures the home accepts."""
    return open_home(home).trust


def release_state(home: Path) -> ReleaseState:
    """The home's record of releases seen."""
    return open_home(home).releases


def unwrap(home: Path, sealed: Path, *, trusting: Trust | None = None) -> DataKey:
    """The data key of the sealed model, by the home's keyring; the caller wipes it.

    Raises:
        StrongroomError: the manifest is not acceptable, or no stanza is for this keyring.
    """
    manifest = read_manifest(sealed, trusting or trust(home))
    keyring = FileKeyring.open(open_home(home).keyring, None)
    try:
        stanza = next(r for r in read_recipients(sealed) if keyring.holds(r))
        return keyring.unwrap(stanza, recipient_context(manifest))
    finally:
        keyring.close()
