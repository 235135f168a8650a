"""The native wire on a Unix socket with a path, for workloads that somebody else starts.

1. The folder belongs to this user and nobody else may write there; the socket has mode 0600.
2. One service a path: a lock beside it is held as long as the service lives. A socket that an
   ended service left behind gives way; anything else in its place is refused.
3. Whoever connects must run as this user, as the kernel says (``SO_PEERCRED``). Who sent a message
   is judged by the kernel's word on each one (``server``).
4. A connection is a session in a thread of its own; no more than ``MAX_CONNECTIONS`` at a time.
5. At the end nobody is let in any more, and answers under way are finished.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from strongroom.errors import ConfigurationRefused
from strongroom.release.protocol import ReleaseService
from strongroom.release.server import serve

MAX_CONNECTIONS: Final = 256
DRAIN_SECONDS: Final = 5.0
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid


class UnixListener:
    """Has ``path`` from its making until ``close``; ``start`` lets workloads in.

    Args:
        path: where the socket is made.

    Raises:
        ConfigurationRefused: ``release.socket_exposed``, ``release.socket_in_use``,
            ``release.socket_irregular`` or ``release.cannot_listen``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._accepting: threading.Thread | None = None
        self._open: dict[socket.socket, threading.Thread] = {}
        self._changing = threading.Lock()
        _require_own_folder(path.parent)
        self._held = _lock(path)
        try:
            self._listener = _listening(path)
        except BaseException:
            os.close(self._held)
            raise

    def start(self, service: ReleaseService) -> None:
        """Have ``service`` answer whoever connects, those included who did so before."""
        self._accepting = threading.Thread(target=self._accept, args=(service,), daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Rule 5. Idempotent."""
        if self._listener.fileno() < 0:
            return
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._accepting is not None:
            self._accepting.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        with self._changing:
            under_way = dict(self._open)
        for each in under_way:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RD)  # an answer may still leave
        deadline = time.monotonic() + DRAIN_SECONDS
        for thread in under_way.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        os.close(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self, service: ReleaseService) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno in _ENDED:
                    return
                time.sleep(0.1)  # no descriptors left: they come back
                continue
            self._admit(connection, service)

    def _admit(self, connection: socket.socket, service: ReleaseService) -> None:
        """Rules 3 and 4."""
        with self._changing:
            if len(self._open) >= MAX_CONNECTIONS or _user(connection) != os.geteuid():
                connection.close()
                return
            talking = (connection, service)
            thread = threading.Thread(target=self._converse, args=talking, daemon=True)
            self._open[connection] = thread
        thread.start()

    def _converse(self, connection: socket.socket, service: ReleaseService) -> None:
        try:
            serve(connection, service)
        finally:
            with self._changing:
                del self._open[connection]
            connection.close()


_ENDED: Final = frozenset({errno.EBADF, errno.EINVAL})
"""What ``accept`` says of a socket that is shut down."""


def _user(connection: socket.socket) -> int:
    size = _CREDENTIALS.size
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _require_own_folder(folder: Path) -> None:
    """Rule 1: who may write there could put a socket of their own in its place."""
    try:
        found = folder.stat()
    except OSError as error:
        raise _cannot(folder, error) from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigurationRefused(
            "release.socket_exposed",
            f"Others than this user may write in {folder}.",
            action="Name a folder that is this user's alone, such as `run` of the home.",
        )


def _lock(path: Path) -> int:
    """Rule 2: the lock's descriptor; the lock goes with the process, however it ends."""
    beside = path.with_name(path.name + ".lock")
    try:
        held = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot(path, error) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise ConfigurationRefused(
            "release.socket_in_use",
            f"Another key-release service has {path}.",
            action="Use that one, stop it, or name another socket.",
        ) from None
    return held


def _listening(path: Path) -> socket.socket:
    """Rules 1 and 2."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationRefused(
                "release.socket_irregular",
                f"There is something at {path} that is no socket.",
                action="Move it away, or name another socket.",
            )
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Handed on to connections, so that the first message has a sender, too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise _cannot(path, error) from None
    return listener


def _cannot(path: Path, error: OSError) -> ConfigurationRefused:
    return ConfigurationRefused(
        "release.cannot_listen",
        f"Cannot listen on {path}: {error.strerror or error}.",
        action="Choose another socket, address or port; a socket's path has 107 bytes at most.",
    )
