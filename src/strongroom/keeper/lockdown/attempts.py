"""How each primitive of ``primitives`` is tried: made ready before the walls, tried behind them."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from strongroom.keeper.lockdown.kernel import MACHINE, Unavailable, call, libc

PAGE: Final = mmap.PAGESIZE
READ, WRITE, EXEC = 1, 2, 4
PRIVATE, ANONYMOUS = 2, 0x20
_PTRACE_SEIZE: Final = 0x4206
_I386_GETPID: Final = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
_X32_GETPID: Final = 0x4000_0000 | 39


class Ready(NamedTuple):
    """``attempt`` raises ``OSError`` if the kernel refuses; it needs the descriptors ``keep``."""

    attempt: Callable[[], object]
    keep: tuple[int, ...] = ()


Prepare = Callable[[], Ready]


def plain(attempt: Callable[[], object]) -> Prepare:
    """Something that needs nothing before the walls."""
    return lambda: Ready(attempt)


def raw(name: str, *arguments: int | bytes | None) -> Prepare:
    """The bare system call; bytes are passed by address."""
    made = [ctypes.create_string_buffer(a) if isinstance(a, bytes) else a for a in arguments]
    return plain(lambda: call(name, *made))


def on_socket(
    make: Callable[[], socket.socket], action: Callable[[socket.socket], object]
) -> Prepare:
    """Something done with a socket that was made before the walls."""

    def prepare() -> Ready:
        made = make()
        return Ready(lambda: action(made), (made.fileno(),))

    return prepare


def on_file(action: Callable[[int], object]) -> Prepare:
    """Something done with an empty file without a name that was opened before the walls."""

    def prepare() -> Ready:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        return Ready(lambda: action(descriptor), (descriptor,))

    return prepare


def on_victim(action: Callable[[int], object]) -> Prepare:
    """Something done to another process of the same user, which ends with this one."""

    def prepare() -> Ready:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            # Not PR_SET_PDEATHSIG: Landlock's signal scope would stop the dying parent's signal.
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        return Ready(lambda: action(pid), (writer,))

    return prepare


def in_older_thread(action: Callable[[], object]) -> Prepare:
    """Something done by a thread that ran before the walls went up."""

    def prepare() -> Ready:
        go, failures = threading.Event(), list[OSError]()

        def body() -> None:
            go.wait()
            try:
                action()
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()

        def attempt() -> None:
            go.set()
            thread.join()
            if failures:
                raise failures[0]

        return Ready(attempt)

    return prepare


def tcp() -> socket.socket:
    """A new TCP socket."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def udp() -> socket.socket:
    """A new UDP socket."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def connected() -> socket.socket:
    """One end of a pair, with a descriptor waiting to be taken; its peer stays open unread."""
    ours, theirs = socket.socketpair()
    socket.send_fds(theirs, [b"x"], [0])
    theirs.detach()
    return ours


def accept(server: socket.socket) -> None:
    """Accept a connection, where nobody connects."""
    try:
        server.accept()
    except BlockingIOError:
        return


def listening() -> socket.socket:
    """A server that does not block."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    return server


def new_process(name: str, *arguments: int | bytes) -> Prepare:
    """``fork`` and its kin."""
    made = [ctypes.create_string_buffer(a) if isinstance(a, bytes) else a for a in arguments]

    def attempt() -> None:
        pid = call(name, *made)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    return plain(attempt)


def trace(pid: int) -> int:
    """Become the tracer of ``pid`` without stopping it."""
    return call("ptrace", _PTRACE_SEIZE, pid, 0, 0)


def memory_of(name: str) -> Callable[[int], int]:
    """``process_vm_readv`` or ``process_vm_writev`` on a page that a forked child has too."""
    page = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(page), len(page)))
    _kept.append(page)
    return lambda pid: call(name, pid, vector, 1, vector, 1, 0)


def map_page(protection: int, flags: int = PRIVATE | ANONYMOUS, descriptor: int = -1) -> int:
    """The address of a new page."""
    return call("mmap", 0, PAGE, protection, flags, descriptor, 0)


def make_executable(name: str, *more: int) -> Prepare:
    """Turn a page of data into code."""
    return plain(lambda: call(name, map_page(READ | WRITE), PAGE, READ | EXEC, *more))


def i386_gate() -> Ready:
    """``getpid`` through the 32-bit gate, by code made before the walls."""
    if MACHINE != "x86_64":
        raise Unavailable("this gate exists on x86_64 only")
    address = map_page(READ | WRITE | EXEC)
    ctypes.memmove(address, _I386_GETPID, len(_I386_GETPID))
    return Ready(ctypes.CFUNCTYPE(ctypes.c_int)(address))


def x32_call() -> int:
    """``getpid`` by its x32 number, which a filter that forgot x32 takes for another call."""
    if MACHINE != "x86_64":
        raise Unavailable("x32 exists on x86_64 only")
    if libc.syscall(ctypes.c_long(_X32_GETPID)) < 0:
        raise OSError(errno.EINVAL, "the kernel was reached, and has no x32")
    return 0


_kept: Final[list[object]] = []
