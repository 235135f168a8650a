"""Names of promoted adapters: what stands after the colon in ``base:NAME``."""

from __future__ import annotations

import re
from typing import Final

from strongroom.tune.reasons import refuse

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def require_name(name: str) -> None:
    """Raises:
    ExposureRefused: ``tune.no_adapter``: the name has characters that none may have.
    """
    if not _NAME.fullmatch(name):
        raise refuse("tune.no_adapter", why="a name has letters, digits, dots, dashes, at most 64")
