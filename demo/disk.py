"""Searches files for windows of plaintext weights."""

from __future__ import annotations

import json
import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WINDOW = 64
"""Bytes in one window: long enough that chance never finds it."""


@dataclass(slots=True)
class DiskSearch:
    """What a search saw; ``found`` names the files that hold a needle."""

    files: int = 0
    bytes_read: int = 0
    found: list[Path] = field(default_factory=list)


def search_files(paths: Iterable[Path], needles: Sequence[bytes]) -> DiskSearch:
    """Look for every needle in every regular file of ``paths``; unreadable ones are passed over."""
    seen = DiskSearch()
    for path in paths:
        try:
            with path.open("rb") as file:
                _search_one(path, file.fileno(), needles, seen)
        except OSError:
            continue
    return seen


def _search_one(path: Path, descriptor: int, needles: Sequence[bytes], seen: DiskSearch) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return
    seen.files += 1
    if status.st_size == 0:
        return
    seen.bytes_read += status.st_size
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        if any(content.find(needle) >= 0 for needle in needles):
            seen.found.append(path)


def files_under(folders: Iterable[Path], *, changed_since: float = 0.0) -> Iterator[Path]:
    """Regular files below ``folders`` whose inode changed at or after that time (Unix seconds)."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_ctime >= changed_since:
                    yield path


def weight_windows(safetensors: Path, count: int = 6) -> list[bytes]:
    """One window from the middle of each of ``count`` tensors, spread over the whole model.

    Raises:
        ValueError: the file holds no tensor that is worth searching for.
    """
    with safetensors.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        spans = [entry["data_offsets"] for name, entry in header.items() if name[0] != "_"]
        large = [span for span in spans if span[1] - span[0] >= 1024 * WINDOW]
        windows = []
        for begin, end in large[:: max(1, len(large) // count)][:count]:
            file.seek(8 + length + (begin + end) // 2)
            window = file.read(WINDOW)
            if len(set(window)) >= WINDOW // 8:  # a row of zeros would be found anywhere
                windows.append(window)
    if not windows:
        raise ValueError(f"{safetensors} has too little variety to search for")
    return windows
