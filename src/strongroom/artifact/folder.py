"""Reading a sealed model's folder without trusting it.

The folder is opened once and everything is read relative to that descriptor, so that renaming it
meanwhile changes nothing. Every entry must be a regular file: no links, folders or devices. Sizes
are taken from the open descriptor before anything is allocated.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from strongroom.artifact import names
from strongroom.artifact.reasons import refuse, shown

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MAX_ENTRIES = 100_000


class SealedFolder:
    """A sealed model's folder, open for reading. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        if names.is_unfinished(path.name):
            raise refuse("artifact.unfinished_seal", where=shown(path))
        if path.suffix in names.PLAIN_WEIGHTS and path.is_file():
            raise refuse("artifact.plain_model", where=shown(path))
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise refuse("artifact.not_found", where=shown(path)) from None
        try:
            self.entries = self._sweep(path)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> SealedFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def read(self, name: str, limit: int) -> bytes:
        """All of a small file; ``artifact.too_large`` over ``limit`` bytes."""
        fd, size = self.open(name)
        try:
            if size > limit:
                raise refuse("artifact.too_large", name=name, limit=limit)
            raw = bytearray(size + 1)  # one more, to notice growth
            got = read_into(fd, memoryview(raw), 0, name)
            if got != size:
                raise refuse("artifact.changed_while_reading", name=name)
            return bytes(memoryview(raw)[:size])
        finally:
            os.close(fd)

    def open(self, name: str) -> tuple[int, int]:
        """A descriptor of a regular file in the folder and its size; the caller closes it."""
        try:
            fd = os.open(name, _OPEN, dir_fd=self._fd)
        except FileNotFoundError:
            raise refuse("artifact.missing_file", name=shown(name)) from None
        except OSError as problem:
            if problem.errno in (errno.ELOOP, errno.ENXIO):
                raise refuse("artifact.not_regular_file", name=shown(name)) from None
            raise _unreadable(name, problem) from None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise refuse("artifact.not_regular_file", name=shown(name))
        return fd, status.st_size

    def open_exactly(self, name: str, expected: int) -> int:
        """A descriptor of a file that has exactly ``expected`` bytes."""
        fd, size = self.open(name)
        if size != expected:
            os.close(fd)
            code = "artifact.truncated" if size < expected else "artifact.trailing_bytes"
            raise refuse(code, name=shown(name), actual=size, expected=expected)
        return fd

    def require_only(self, allowed: Collection[str]) -> None:
        """Exactly the files ``allowed`` lie in the folder."""
        for name in sorted(self.entries - set(allowed)):
            raise refuse("artifact.unexpected_file", name=shown(name))
        for name in sorted(set(allowed) - self.entries):
            raise refuse("artifact.missing_file", name=shown(name))

    def _sweep(self, path: Path) -> frozenset[str]:
        """Names of all entries, each of which is a regular file."""
        found: set[str] = set()
        try:
            with os.scandir(self._fd) as entries:
                for entry in entries:
                    if len(found) >= _MAX_ENTRIES:
                        raise refuse("artifact.unexpected_file", name=shown(entry.name))
                    if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                        raise refuse("artifact.not_regular_file", name=shown(entry.name))
                    found.add(entry.name)
        except OSError as problem:
            raise _unreadable(path, problem) from None
        plain = sorted(n for n in found if Path(n).suffix.lower() in names.PLAIN_WEIGHTS)
        if names.MANIFEST not in found:
            code = "artifact.plain_model" if plain else "artifact.not_found"
            raise refuse(code, where=shown(path))
        if plain:
            raise refuse("artifact.plain_weights_beside", name=shown(plain[0]))
        return frozenset(found)


def read_into(fd: int, out: memoryview, offset: int, name: str) -> int:
    """Fill ``out`` from ``offset`` on; returns the bytes read, fewer only at the file's end."""
    done = 0
    try:
        while done < len(out):
            got = os.preadv(fd, [out[done:] if done else out], offset + done)
            if got == 0:
                break
            done += got
    except OSError as problem:
        raise _unreadable(name, problem) from None
    return done


def _unreadable(name: object, problem: OSError) -> Exception:
    reason = errno.errorcode.get(problem.errno or 0, "unknown error")
    return refuse("artifact.unreadable", name=shown(name), problem=reason)
