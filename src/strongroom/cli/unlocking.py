"""Obtaining a sealed model's data key on the owner's own machine, with the home's keys.

1. Find an unlocker of the home that holds one of the model's stanzas.
2. Unwrap it, bound to this sealing of this model.
3. Compare the key with the commitment in the signed manifest.
4. Wipe the key when the block ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.key_schedule import require_key
from strongroom.artifact.manifest import Manifest, recipient_context
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.rewrap import read_recipients
from strongroom.cli import passphrase
from strongroom.cli.home import Home
from strongroom.errors import KeyRefused
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.keyring import FileKeyring
from strongroom.release.config import KeyringUnlocker, Unlocker
from strongroom.release.unlockers import open_unlocker


@contextmanager
def data_key(
    home: Home, folder: Path, manifest: Manifest, passphrase_file: Path | None
) -> Iterator[DataKey]:
    """The data key of the model in ``folder``, wiped when the block ends.

    Raises:
        KeyRefused: ``cli.no_stanza`` when no key of the home can open it, or why unwrapping failed.
    """
    stanzas = read_recipients(folder)
    for unlocker in home.unlockers():
        with _opened(home, unlocker, stanzas, passphrase_file) as holder:
            stanza = next((s for s in stanzas if holder and holder.holds(s)), None)  # (1)
            if holder is None or stanza is None:
                continue
            key = holder.unwrap(stanza, recipient_context(manifest))  # (2)
        try:
            require_key(key, manifest.seal_id, manifest.key_commitment)  # (3)
            yield key
        finally:
            key.wipe()  # (4)
        return
    raise KeyRefused(
        "cli.no_stanza",
        "No key of this home can open the model: it was not sealed for this home.",
        action="Ask its owner to add you: `strongroom rewrap SEALED --add YOUR-RECIPIENT-FILE`.",
    )


@contextmanager
def keyring(home: Home, passphrase_file: Path | None) -> Iterator[FileKeyring]:
    """The home's keyring, its keys overwritten when the block ends."""
    with FileKeyring.open(home.keyring, passphrase.for_home(home, passphrase_file)) as opened:
        yield opened


@contextmanager
def _opened(
    home: Home, unlocker: Unlocker, stanzas: Sequence[Recipient], passphrase_file: Path | None
) -> Iterator[KeyWrapper | None]:
    """The unlocker's key; None where no stanza is of its kind, so that nobody is asked in vain."""
    kind = unlocker.__struct_config__.tag
    if not any(stanza.kind == kind for stanza in stanzas):
        yield None
        return
    if isinstance(unlocker, KeyringUnlocker):
        with keyring(home, passphrase_file) as opened:
            yield opened
        return
    holder = open_unlocker(unlocker)
    try:
        yield holder
    finally:
        holder.close()
