"""What was last seen of a log, kept apart from it: that it must exist, and its newest checkpoint.

The file has two slots of 1 KiB, each with the length of a signed checkpoint (2 bytes) and the
checkpoint; they are written in turn, so that a write cut short leaves the other. The greater size
counts. A slot is written after the entries are on the disk: what it says cannot be ahead of the log
after a crash. It is brought to the disk with each publication, so a power cut can lose the last
second of it, and killing the process nothing.

The file is also the log's lock: whoever writes the log holds it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from strongroom.errors import StrongroomError
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.files import make_folders, sync_folder
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse

_SLOT_BYTES = 1024
_LOCK_RETRY_SECONDS = 0.02


class Seen:
    """The open, locked file of the log's writer.

    Args:
        path: the file; made if it is not there.
        key: the log's verifier key.
        wait_seconds: how long to wait for another writer to finish.

    Raises:
        ConfigurationRefused: ``ledger.in_use``.
        LedgerRefused: ``ledger.seen_damaged``.
    """

    def __init__(self, path: Path, key: VerifierKey, wait_seconds: float) -> None:
        make_folders(path.parent.parent, path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError:
            raise refuse("ledger.seen_damaged", where=path) from None
        try:
            _lock(self._descriptor, path, wait_seconds)
            sync_folder(path.parent)
            slots = _slots(self._descriptor, path, key)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.newest = _newest(slots)
        self._next = 0 if slots[0] is None or slots[0] is not self.newest else 1

    def put(self, signed: bytes) -> None:
        """Remember the signed checkpoint, in the slot that does not hold the newest."""
        content = (len(signed).to_bytes(2, "big") + signed).ljust(_SLOT_BYTES, b"\0")
        os.pwrite(self._descriptor, content, self._next * _SLOT_BYTES)
        self._next = 1 - self._next

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


def read_seen(path: Path, key: VerifierKey) -> Checkpoint | None:
    """What was last seen of a log that another process may be writing.

    None if there is no such file, or it was made and nothing was ever put into it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        raise refuse("ledger.seen_damaged", where=path) from None
    try:
        return _newest(_slots(descriptor, path, key))
    finally:
        os.close(descriptor)


def _newest(slots: list[Checkpoint | None]) -> Checkpoint | None:
    return max((slot for slot in slots if slot), key=lambda slot: slot.size, default=None)


def _slots(descriptor: int, path: Path, key: VerifierKey) -> list[Checkpoint | None]:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise refuse("ledger.seen_damaged", where=path)
    slots, damaged = [], False
    for place in range(2):
        content = os.pread(descriptor, _SLOT_BYTES, place * _SLOT_BYTES)
        try:
            slots.append(_decode(content, key))
        except StrongroomError:
            slots.append(None)
            damaged = True
    if damaged and not any(slots):
        raise refuse("ledger.seen_damaged", where=path)
    return slots


def _decode(content: bytes, key: VerifierKey) -> Checkpoint | None:
    if not any(content):
        return None
    signed = content[2 : 2 + int.from_bytes(content[:2], "big")]
    return parse_signed(signed, key, "what was last seen")


def _lock(descriptor: int, path: Path, wait_seconds: float) -> None:
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise refuse("ledger.in_use", where=path.name) from None
        time.sleep(_LOCK_RETRY_SECONDS)
