"""Make a folder appear under its name whole or not at all.

1. Work happens in a sibling folder whose name says so; readers refuse that name.
2. Every file is on the disk before the folder is (fsync), the folder before it is renamed.
3. The rename is atomic; then the parent is made durable.
4. On any error the sibling is removed. After a crash it stays, recognisable, and is refused.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.artifact import names
from strongroom.artifact.durable import sync_folder
from strongroom.artifact.reasons import refuse, shown

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A folder to fill; it becomes ``destination`` when the block ends without an error."""
    destination = destination.absolute()
    if os.path.lexists(destination):
        raise refuse("artifact.destination_exists", where=shown(destination))
    marked = f".{destination.name}{names.UNFINISHED}{secrets.token_hex(8)}"
    beside = destination.with_name(marked)  # (1)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir(mode=0o755)
        yield beside
        sync_folder(beside)  # (2)
        if os.path.lexists(destination):  # an empty folder would be renamed over
            raise refuse("artifact.destination_exists", where=shown(destination))
        beside.rename(destination)  # (3)
        sync_folder(destination.parent)
    except OSError as problem:
        shutil.rmtree(beside, ignore_errors=True)  # (4)
        if problem.errno in _FULL:
            raise refuse("artifact.disk_full") from None
        text = problem.strerror or "unknown error"
        raise refuse("artifact.write_failed", where=shown(destination), problem=text) from None
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)  # (4)
        raise
