"""Files that hold a secret: who may own them, who may read them, how they are replaced.

Reading refuses a symbolic link, anything but a regular file, a foreign owner, and permissions
that let the group or others in. Writing goes beside the target, reaches the disk, and then takes
the name in one step, so that a crash leaves the old file or the new one and nothing between.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from strongroom.artifact.durable import sync_folder
from strongroom.errors import KeyRefused, StrongroomError
from strongroom.keys.wiping import wipe

MAX_BYTES = 1024 * 1024
"""No file of keys is larger than this; a larger one is refused unread."""

_Form = TypeVar("_Form", bound=msgspec.Struct)


def read_private(path: Path) -> bytearray:
    """The content of a secret file, in a buffer that the caller can wipe.

    Raises:
        KeyRefused: ``keys.file_missing``, ``keys.file_unreadable``, ``keys.file_symlink``,
            ``keys.file_irregular``, ``keys.file_owner``, ``keys.file_permissions``,
            ``keys.file_oversized``.
    """
    descriptor = _open(path)
    try:
        found = os.fstat(descriptor)
        _judge(path, found)
        content = bytearray(found.st_size)
        filled = 0
        while filled < len(content):
            got = os.preadv(descriptor, [memoryview(content)[filled:]], filled)
            if got == 0:
                break
            filled += got
        return content[:filled] if filled < len(content) else content
    finally:
        os.close(descriptor)


def read_document(path: Path, form: type[_Form], malformed: StrongroomError) -> _Form:
    """The JSON document in a secret file.

    Args:
        path: where it lies.
        form: what it must decode to.
        malformed: raised if it does not; the decoder's own message could quote the file.

    Raises:
        KeyRefused: the codes of ``read_private``.
    """
    content = read_private(path)
    try:
        return msgspec.json.decode(content, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise malformed from None
    finally:
        wipe(content)


def write_document(path: Path, document: msgspec.Struct, *, replace: bool = False) -> None:
    """Write ``document`` as JSON into a secret file; see ``write_private``."""
    content = bytearray(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    try:
        write_private(path, content, replace=replace)
    finally:
        wipe(content)


def read_public(path: Path) -> bytes:
    """The content of a file that is no secret, bounded like the others.

    Raises:
        KeyRefused: ``keys.file_missing``, ``keys.file_unreadable``, ``keys.file_oversized``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > MAX_BYTES:
        raise _oversized(path)
    return content


def write_private(path: Path, content: bytes | bytearray, *, replace: bool) -> None:
    """Write a secret file with mode 0600, whole or not at all.

    Args:
        path: where it goes; the folder must exist.
        content: what it holds.
        replace: whether an existing file gives way; else it is refused and left as it is.

    Raises:
        KeyRefused: ``keys.file_exists`` or ``keys.file_unwritable``.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(beside, content)
        try:
            if replace:
                beside.replace(path)
            else:
                path.hardlink_to(beside)
        finally:
            with suppress(FileNotFoundError):
                beside.unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise KeyRefused(
            "keys.file_exists",
            f"{path} exists already.",
            action="Choose another path, or move the file away; keys are never overwritten.",
        ) from None
    except OSError as error:
        raise KeyRefused(
            "keys.file_unwritable",
            f"{path} cannot be written: {error.strerror}.",
            action="Check the folder, its permissions and the space on the disk.",
        ) from None


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the lock of the folder of ``path``, so that two changes of a file cannot cross."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # O_NONBLOCK: a FIFO put in the file's place must not hang us before it is refused.
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        if path.is_symlink():
            raise KeyRefused(
                "keys.file_symlink",
                f"{path} is a symbolic link.",
                action="Name the file itself.",
            ) from None
        raise _unreadable(path, error) from None


def _judge(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyRefused(
            "keys.file_irregular", f"{path} is not a regular file.", action="Check the path."
        )
    if found.st_uid != os.geteuid():
        raise KeyRefused(
            "keys.file_owner",
            f"{path} belongs to user {found.st_uid}, this process is user {os.geteuid()}.",
            action="Run as the owner, or change the file's owner.",
        )
    if found.st_mode & 0o077:
        raise KeyRefused(
            "keys.file_permissions",
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: others may reach it.",
            action=f"Run `chmod 600 {path}`, and replace its keys if others may have read it.",
        )
    if found.st_size > MAX_BYTES:
        raise _oversized(path)


def _missing(path: Path) -> KeyRefused:
    return KeyRefused("keys.file_missing", f"There is no file {path}.", action="Check the path.")


def _unreadable(path: Path, error: OSError) -> KeyRefused:
    return KeyRefused(
        "keys.file_unreadable",
        f"{path} cannot be read: {error.strerror}.",
        action="Check the path and its permissions.",
    )


def _oversized(path: Path) -> KeyRefused:
    return KeyRefused(
        "keys.file_oversized",
        f"{path} has more than {MAX_BYTES} bytes.",
        action="Check that this is a file of keys.",
    )


def _write_new(path: Path, content: bytes | bytearray) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
