"""The journal as the writer has it open: write a batch, sync, begin the next segment."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from strongroom.ledger import journal
from strongroom.ledger.files import make_folders, sync_folder, write_all
from strongroom.ledger.verify import Verified

MAX_BYTES = 4 * 1024 * 1024
"""A segment of this length or more is followed by another."""


class Segments:
    """The newest segment, open. What a crash left short at its end is cut off first.

    Args:
        folder: the log's folder.
        verified: what verification found in it.
    """

    def __init__(self, folder: Path, verified: Verified) -> None:
        self._folder = folder / journal.FOLDER
        self._following = threading.Lock()
        make_folders(folder, self._folder)
        found = verified.journal
        end = found.batches[-1].checkpoint.size if found.batches else max(found.starts, default=-1)
        if found.starts and end == verified.newest.size:
            self._open(found.starts[-1])
            os.ftruncate(self._descriptor, found.whole_bytes)
            os.fsync(self._descriptor)
            self._bytes = found.whole_bytes
            return
        for start in found.starts:  # the tiles have gone further: a copy made without its journal
            (self._folder / journal.segment_name(start)).unlink()
        self._open(verified.newest.size)

    def write(self, start: int, entries: list[bytes], signed: bytes) -> None:
        """Give one batch, whose first entry has index ``start``, to the kernel."""
        if self._bytes >= MAX_BYTES:
            with self._following:
                os.fdatasync(self._descriptor)
                os.close(self._descriptor)
                self._open(start)
        content = journal.encode_batch(entries, signed)
        write_all(self._descriptor, content)
        self._bytes += len(content)

    def sync(self) -> None:
        """Bring all that was written to the disk; in any thread."""
        with self._following:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the segment."""
        os.close(self._descriptor)

    def _open(self, start: int) -> None:
        path = self._folder / journal.segment_name(start)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        sync_folder(self._folder)
        self._bytes = 0
