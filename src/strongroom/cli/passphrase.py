"""The home's passphrase: from a file, from the terminal, or none."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from strongroom.cli.home import Home
from strongroom.errors import KeyRefused
from strongroom.keys import keyring_file, private_file
from strongroom.keys.wiping import wipe


def is_protected(home: Home) -> bool:
    """Whether the home's keyring needs a passphrase."""
    return isinstance(keyring_file.load(home.keyring).protection, keyring_file.Passphrase)


def for_home(home: Home, file: Path | None) -> bytes | None:
    """The passphrase of a home that has one, else None.

    Raises:
        KeyRefused: ``cli.passphrase_needed`` where there is nobody to ask, or a code of
            ``private_file.read_private``.
    """
    if not is_protected(home):
        return None
    if file is not None:
        return from_file(file)
    if not sys.stdin.isatty():
        raise KeyRefused(
            "cli.passphrase_needed",
            "This home is protected by a passphrase, and there is no terminal to ask on.",
            action="Give --passphrase-file FILE.",
        )
    return str(click.prompt("Passphrase", hide_input=True, err=True)).encode()


def new(file: Path | None) -> bytes:
    """A passphrase for a new home, asked for twice where no file gives it."""
    if file is not None:
        return from_file(file)
    asked = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return str(asked).encode()


def from_file(path: Path) -> bytes:
    """What stands in a private file, but one newline at its end."""
    content = private_file.read_private(path)
    try:
        return bytes(content).removesuffix(b"\n")
    finally:
        wipe(content)
