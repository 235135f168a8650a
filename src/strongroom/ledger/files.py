"""Writing that survives a power cut: the bytes on the disk first, then the name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step, mode 0600: the old file or the new one."""
    replace(path, content)
    sync_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """The same, but for the folder, which the caller makes durable with ``sync_folder``."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o600)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything, however many calls it takes."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def make_folders(top: Path, folder: Path) -> None:
    """Make ``folder`` below ``top`` and make every new name on the way durable."""
    missing = []
    while folder != top and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700)
        sync_folder(path.parent)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in several folders durable, each once."""
    for folder in sorted(set(folders)):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
