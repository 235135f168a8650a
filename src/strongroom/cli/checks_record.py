"""What ``doctor`` looks at of the record: whether logs verify, their length, who writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.checks import Check
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.ledger.folder import LogFolder
    from strongroom.ledger.log_key import LogKey
    from strongroom.ledger.verify import Verified


def check_record(home: Home, locks: Path) -> Iterator[Check]:
    """Every log of a home, verified from its first record; ``locks`` is ``/proc/locks``."""
    from strongroom.ledger.begun import Begun
    from strongroom.ledger.log_key import LogKey
    from strongroom.ledger.opening import LOGS, log_names

    try:
        key = LogKey.load(home.log_key)
    except StrongroomError as error:
        yield Check("record", "fail", error.message, error.action)
        return
    names = {*log_names(home.state), *Begun.names(key, home.state)}
    for name in sorted(names):
        yield _check_log(home, key, name, locks)
    if not names:
        found = f"no log in {home.state / LOGS}"
        yield Check("record", "warn", found, "Start `strongroom serve`, which begins them.")


def _check_log(home: Home, key: LogKey, name: str, locks: Path) -> Check:
    from strongroom.ledger.begun import Begun
    from strongroom.ledger.opening import SEEN, look

    try:
        noted = Begun(key, home.state, name).read()
        folder, verified = look(home.state, name, key.public, [noted] if noted else [])
    except StrongroomError as error:
        return Check(f"record, {name}", "fail", error.message, error.action)
    writer = _writer(home.state / SEEN / name, locks)
    held = f"written by process {writer}" if writer else "nobody writes it now"
    size = verified.newest.size
    last = f", the last of {_last(folder, verified)}" if size else ""
    return Check(f"record, {name}", "ok", f"verifies; {size:,} records{last}; {held}")


def _last(folder: LogFolder, verified: Verified) -> str:
    from strongroom.ledger.reading import records

    published, unpublished = verified.published.size, verified.unpublished
    (last,) = records(folder, published, unpublished, verified.newest.size - 1)
    return f"{datetime.fromtimestamp(last.at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _writer(path: Path, locks: Path) -> int:
    """The process that holds the log's lock; 0 if none does. The lock is not touched."""
    try:
        found, listed = path.stat(), locks.read_text()
    except OSError:
        return 0
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    held = re.search(rf"FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+{place}\s", listed)
    return int(held[1]) if held else 0
