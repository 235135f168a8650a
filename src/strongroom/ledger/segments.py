"""The journal on the disk, as the writer has it open: append a batch, begin the next segment."""

from __future__ import annotations

import os
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

    def append(self, start: int, entries: list[bytes], signed: bytes) -> None:
        """Bring one batch, whose first entry has index ``start``, to the disk."""
        if self._bytes >= MAX_BYTES:
            os.close(self._descriptor)
            self._open(start)
        content = journal.encode_batch(entries, signed)
        write_all(self._descriptor, content)
        os.fdatasync(self._descriptor)
        self._bytes += len(content)

    def close(self) -> None:
        """Close the segment."""
        os.close(self._descriptor)

    def _open(self, start: int) -> None:
        path = self._folder / journal.segment_name(start)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        sync_folder(self._folder)
        self._bytes = 0
