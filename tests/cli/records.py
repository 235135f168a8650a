"""The entries of a home's logs, as its verifier sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records


def recorded(home: Path, log: str = "operator") -> list[Any]:
    key = LogKey.load(home / "keys" / "log.key")
    folder, verified = look(home / "state", log, key.public)
    found = records(folder, verified.published.size, verified.unpublished)
    return [each.entry for each in found]
