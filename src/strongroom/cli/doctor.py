"""``strongroom doctor``: what this machine and this home lack."""

from __future__ import annotations

import click


@click.command("doctor")
def command() -> None:
    """Check."""
