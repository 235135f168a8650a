"""The meter's memory over restarts and ``kill -9``: a shared mapping of one small file.

The file is opened, locked and mapped before lock-down; afterwards the meter needs no system call
to write. Layout (little-endian, everything on 4 KiB pages):

1. Page 0: the header: magic, version, number of accounts, shape of the windows, CRC-32.
2. Then two pages an account, its copies A and B. Each holds a state word (``SETTLED`` or
   ``WRITING``), a sequence number, the owner, the newest slots, all slot sums, CRC-32.
3. A commit writes the older copy: state ``WRITING``, then the body, then state ``SETTLED``. So
   whenever the process is killed, the other copy is whole, and what the killed commit would
   have recorded had not left yet: answers are sent after the commit.
4. At a start the newest whole copy counts. A copy that is neither whole nor ``WRITING`` was altered
   by something else, and the start is refused: a meter that may have forgotten is no meter.

What it does not survive: a power failure can lose what the kernel had not written back yet (30
seconds by default), and whoever may write the file can rewrite it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import time
import zlib
from pathlib import Path

from strongroom.errors import ConfigurationRefused
from strongroom.keeper.egress import (
    DAY_SLOT_SECONDS,
    DAY_SLOTS,
    FIRST_TENANT,
    HOUR_SLOT_SECONDS,
    HOUR_SLOTS,
    LARGEST_BUDGET,
    NOBODY,
    Account,
    Budget,
    Meter,
    Window,
)

TENANTS = 256
"""Tenants that have an account of their own; further ones share one (see ``egress.Meter``)."""

ACCOUNTS = FIRST_TENANT + TENANTS
PAGE = 4096
FILE_BYTES = PAGE * (1 + 2 * ACCOUNTS)

_HEADER = struct.Struct("<16sIIIIII")
_HEADER_BYTES = _HEADER.pack(
    b"strongroom meter", 1, ACCOUNTS, HOUR_SLOT_SECONDS, HOUR_SLOTS, DAY_SLOT_SECONDS, DAY_SLOTS
)
_BODY = struct.Struct(f"<Q32sqq{HOUR_SLOTS}q{DAY_SLOTS}q")
_CHECK = struct.Struct("<I")
_COPY_BYTES = _CHECK.size + _BODY.size + _CHECK.size
SETTLED, WRITING = _CHECK.pack(0x5E771ED0), _CHECK.pack(0x00B05E00)


class MeterState:
    """The mapped file and the meter over it.

    Args:
        path: the file; made, with mode 0600, if it is not there.
        deployment: budget of all answers together.
        tenant: budget of each tenant.

    Raises:
        ConfigurationRefused: ``keeper.egress_state_damaged``, ``keeper.egress_state_in_use`` or
            ``keeper.egress_state_unusable``.
    """

    def __init__(self, path: Path, deployment: Budget, tenant: Budget) -> None:
        self._map = _open(path)
        self._sequences = [0] * ACCOUNTS
        accounts = [self._load(place, path) for place in range(ACCOUNTS)]
        self.meter = Meter(accounts, deployment, tenant)
        self._offset = max(int(time.time()), self.meter.latest) - time.monotonic()

    def now(self) -> int:
        """Seconds since the epoch, from a clock that only goes forward.

        The wall clock is read once, at the start, and never taken earlier than the latest charge;
        from then on the monotonic clock counts. Setting the clock does not refill a budget.
        """
        return int(self._offset + time.monotonic())

    def commit(self) -> None:
        """Record every account that was charged. Answers may be sent afterwards, not before."""
        for place in sorted(self.meter.touched):
            self._store(place)
        self.meter.touched.clear()

    def _store(self, place: int) -> None:
        self._sequences[place] += 1
        sequence = self._sequences[place]
        start = _copy_at(place, sequence)
        body = _encode(place, sequence, self.meter.accounts[place])
        self._map[start : start + _CHECK.size] = WRITING
        self._map[start + _CHECK.size : start + _COPY_BYTES] = body
        self._map[start : start + _CHECK.size] = SETTLED

    def _load(self, place: int, path: Path) -> Account:
        newest: Account | None = None
        for parity in (0, 1):
            start = _copy_at(place, parity)
            raw = self._map[start : start + _COPY_BYTES]
            if raw[: _CHECK.size] == WRITING:
                continue
            if raw[: _CHECK.size] != SETTLED:
                raise damaged(path)
            sequence, account = _decode(place, raw[_CHECK.size :], path)
            if newest is None or sequence > self._sequences[place]:
                newest, self._sequences[place] = account, sequence
        if newest is None:
            raise damaged(path)
        return newest


def _copy_at(place: int, sequence: int) -> int:
    return PAGE * (1 + 2 * place + sequence % 2)


def _encode(place: int, sequence: int, account: Account) -> bytes:
    hour, day = account.hour, account.day
    body = _BODY.pack(sequence, account.owner, hour.newest, day.newest, *hour.sums, *day.sums)
    return body + _CHECK.pack(_checksum(place, body))


def _decode(place: int, raw: bytes, path: Path) -> tuple[int, Account]:
    body, check = raw[: _BODY.size], raw[_BODY.size :]
    if check != _CHECK.pack(_checksum(place, body)):
        raise damaged(path)
    sequence, owner, hour_newest, day_newest, *sums = _BODY.unpack(body)
    if min(hour_newest, day_newest, *sums) < 0 or max(sums) > LARGEST_BUDGET:
        raise damaged(path)
    hour = Window(HOUR_SLOT_SECONDS, sums[:HOUR_SLOTS], hour_newest)
    return sequence, Account(owner, hour, Window(DAY_SLOT_SECONDS, sums[HOUR_SLOTS:], day_newest))


def _checksum(place: int, body: bytes) -> int:
    return zlib.crc32(body, place)


def _open(path: Path) -> mmap.mmap:
    try:
        if not os.path.lexists(path):
            _create(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise unusable(path, error.strerror or "it cannot be opened") from None
    try:
        judge(path, descriptor, FILE_BYTES)
        mapped = mmap.mmap(descriptor, FILE_BYTES, mmap.MAP_SHARED)
    finally:
        os.close(descriptor)  # the mapping keeps the file open, and with it the lock
    if mapped[:PAGE] != _header_page():
        raise damaged(path)
    return mapped


def judge(path: Path, descriptor: int, size: int) -> None:
    """Refuse a file that is not private, whole in size and ours alone; lock it."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise unusable(path, "it is not a regular file")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise unusable(path, "others may read or write it")
    if found.st_size != size:
        raise damaged(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigurationRefused(
            "keeper.egress_state_in_use",
            f"Another keeper meters its answers in {path}.",
            action="Stop that keeper first; two keepers need two homes.",
        ) from None


def _create(path: Path) -> None:
    """Write a whole empty file beside and link it into place, so that none is ever half there."""
    empty = Account.empty(NOBODY)
    pages = [_header_page()]
    for place in range(ACCOUNTS):
        copy = SETTLED + _encode(place, 0, empty)
        pages.append(copy.ljust(PAGE, b"\0") * 2)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(beside, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(pages))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(beside)
    except FileExistsError:
        pass  # another keeper was faster; the lock decides between the two
    finally:
        beside.unlink()


def _header_page() -> bytes:
    return (_HEADER_BYTES + _CHECK.pack(zlib.crc32(_HEADER_BYTES))).ljust(PAGE, b"\0")


def damaged(path: Path) -> ConfigurationRefused:
    """Something else than the meter wrote this file."""
    return ConfigurationRefused(
        "keeper.egress_state_damaged",
        f"The egress meter's file {path} is damaged.",
        action="Restore it from a copy, or move it away if you accept that the meter then forgets "
        "what left in the last day.",
    )


def unusable(path: Path, why: str) -> ConfigurationRefused:
    """The meter cannot keep its memory in this file."""
    return ConfigurationRefused(
        "keeper.egress_state_unusable",
        f"The egress meter cannot use {path}: {why}.",
        action="Give a path in a private folder of the keeper's user.",
    )
