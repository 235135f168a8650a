"""What every verb is told: the home, and whether a script is listening.

``--home`` and ``--json`` may stand before the verb or behind it; the later one wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
DEFAULT_HOME = Path("~/.strongroom")


@dataclass
class Call:
    """One invocation of the command line."""

    home_option: Path | None = None
    json: bool = False

    @property
    def home_path(self) -> Path:
        """``--home``, else ``STRONGROOM_HOME``, else ``~/.strongroom``."""
        named = self.home_option or os.environ.get("STRONGROOM_HOME") or DEFAULT_HOME
        return Path(named).expanduser().absolute()


def _set_home(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Call).home_option = value


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Call).json = True


home_option = click.option(
    "--home",
    metavar="H",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_set_home,
    help="Folder with keys, trust, state and configuration.  "
    "[default: $STRONGROOM_HOME or ~/.strongroom]",
)
json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_set_json,
    help="Print JSON for scripts, and nothing else.",
)


def shared_options(function: _F) -> _F:
    """Add ``--home`` and ``--json`` to a verb."""
    return home_option(json_option(function))


passphrase_option = click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read the home's passphrase from FILE (one line) instead of asking.",
)
"""Added to verbs that need the home's secret keys."""
