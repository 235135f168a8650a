"""What code that took over the keeper would try next: one entry a primitive.

Arguments are chosen so that nothing lasting happens, even as root and without walls: what could
harm is asked for with arguments that the kernel rejects once it has let the call in, and what is
made belongs to a child that ends at once.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Final, Literal

from strongroom.keeper.lockdown.attempts import (
    EXEC,
    PRIVATE,
    READ,
    WRITE,
    Prepare,
    accept,
    connected,
    i386_gate,
    in_older_thread,
    listening,
    make_executable,
    map_page,
    memory_of,
    new_process,
    on_file,
    on_socket,
    on_victim,
    plain,
    raw,
    tcp,
    trace,
    udp,
    x32_call,
)
from strongroom.keeper.lockdown.kernel import call, prctl

Group = Literal["file", "network", "process", "memory", "kernel", "ipc", "self"]

_NOWHERE: Final = b"/strongroom-selftest-has-no-such-folder/x"
_HERE: Final = -100  # AT_FDCWD
_DISCARD: Final = ("127.0.0.1", 9)
_CLONE_ARGS: Final = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, *[0] * 6)


@dataclass(frozen=True, slots=True)
class Primitive:
    """A thing to try.

    ``works``: without walls it must succeed; otherwise it must only reach the kernel.
    ``refusal``: the errno by which the walls refuse it; where 0, they must end the process.
    """

    name: str
    group: Group
    prepare: Prepare
    works: bool = False
    refusal: int = 0


def _works(name: str, group: Group, prepare: Prepare, refusal: int = 0) -> Primitive:
    return Primitive(name, group, prepare, works=True, refusal=refusal)


def _open(flags: int) -> Prepare:
    return plain(lambda: os.open("/dev/null", flags))


def _send_descriptor(own: socket.socket) -> None:
    socket.send_fds(own, [b"x"], [own.fileno()])


def _lower_limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_FILE: Final = (
    _works("open a file for reading", "file", _open(os.O_RDONLY), errno.EACCES),
    _works("open a file for writing", "file", _open(os.O_WRONLY)),
    Primitive("create a file", "file", raw("openat", _HERE, _NOWHERE, os.O_CREAT | os.O_RDWR, 384)),
    _works("open by openat2", "file", raw("openat2", _HERE, b"/dev/null", bytes(24), 24)),
    Primitive("open by handle", "file", raw("open_by_handle_at", _HERE, bytes(64), 0)),
    _works("write to a kept file", "file", on_file(lambda d: os.write(d, b"x")), errno.EFBIG),
    Primitive("truncate", "file", raw("truncate", _NOWHERE, 0)),
    _works("extend a kept file", "file", on_file(lambda d: os.ftruncate(d, 1))),
    Primitive("make a folder", "file", raw("mkdirat", _HERE, _NOWHERE, 448)),
    Primitive("make a device", "file", raw("mknodat", _HERE, _NOWHERE, 0o20600, 259)),
    Primitive("link", "file", raw("linkat", _HERE, _NOWHERE, _HERE, _NOWHERE, 0)),
    Primitive("symbolic link", "file", raw("symlinkat", _NOWHERE, _HERE, _NOWHERE)),
    Primitive("rename", "file", raw("renameat2", _HERE, _NOWHERE, _HERE, _NOWHERE, 0)),
    Primitive("remove", "file", raw("unlinkat", _HERE, _NOWHERE, 0)),
    _works("file in memory", "file", raw("memfd_create", b"x", 0)),
    Primitive("secret memory", "file", raw("memfd_secret", 0)),
    _works("pipe", "file", raw("pipe2", bytes(8), 0)),
    _works("watch files", "file", raw("inotify_init1", 0)),
)

_NETWORK: Final = (
    _works("TCP socket", "network", raw("socket", 2, 1, 0)),
    Primitive("IPv6 socket", "network", raw("socket", 10, 1, 0)),
    _works("UDP socket", "network", raw("socket", 2, 2, 0)),
    _works("Unix socket", "network", raw("socket", 1, 1, 0)),
    Primitive("netlink socket", "network", raw("socket", 16, 3, 0)),
    Primitive("packet socket", "network", raw("socket", 17, 3, 0)),
    Primitive("VM socket", "network", raw("socket", 40, 1, 0)),
    _works("socket pair", "network", raw("socketpair", 1, 1, 0, bytes(8))),
    Primitive("connect", "network", on_socket(tcp, lambda own: own.connect(_DISCARD))),
    _works("bind", "network", on_socket(tcp, lambda own: own.bind(("127.0.0.1", 0)))),
    _works("listen", "network", on_socket(listening, lambda own: own.listen(1))),
    _works("accept", "network", on_socket(listening, accept)),
    _works("datagram to anyone", "network", on_socket(udp, lambda own: own.sendto(b"x", _DISCARD))),
    _works("pass a descriptor", "network", on_socket(connected, _send_descriptor)),
    _works(
        "take a descriptor", "network", on_socket(connected, lambda o: socket.recv_fds(o, 1, 1))
    ),
    _works("socket in an older thread", "network", in_older_thread(lambda: tcp().close())),
)

_PROCESS: Final = (
    _works("fork", "process", new_process("fork")),
    _works("clone", "process", new_process("clone", signal.SIGCHLD, 0, 0, 0, 0)),
    _works("vfork", "process", new_process("clone", 0x4000 | signal.SIGCHLD, 0, 0, 0, 0)),
    _works("clone3", "process", new_process("clone3", _CLONE_ARGS, 88), errno.ENOSYS),
    Primitive("execute", "process", raw("execve", _NOWHERE, bytes(8), bytes(8))),
    Primitive("execute by handle", "process", raw("execveat", _HERE, _NOWHERE, bytes(8), None, 0)),
    Primitive("trace", "process", on_victim(trace)),
    Primitive("read a process", "process", on_victim(memory_of("process_vm_readv"))),
    Primitive("write a process", "process", on_victim(memory_of("process_vm_writev"))),
    _works(
        "open /proc/self/mem",
        "process",
        plain(lambda: os.open("/proc/self/mem", os.O_RDONLY)),
        errno.EACCES,
    ),
    _works("hold a process", "process", on_victim(lambda pid: call("pidfd_open", pid, 0))),
    Primitive("take a process's file", "process", raw("pidfd_getfd", -1, 0, 0)),
    _works("signal a process", "process", on_victim(lambda pid: os.kill(pid, 0))),
    Primitive("signal by handle", "process", raw("pidfd_send_signal", -1, 0, None, 0)),
    Primitive("advise a process", "process", raw("process_madvise", -1, None, 0, 0, 0)),
    Primitive("compare processes", "process", on_victim(lambda pid: call("kcmp", 1, pid, 0, 0, 0))),
)

_MEMORY: Final = (
    _works("writable code", "memory", plain(lambda: map_page(READ | WRITE | EXEC)), errno.EACCES),
    _works("new code", "memory", plain(lambda: map_page(READ | EXEC)), errno.EACCES),
    _works("data into code", "memory", make_executable("mprotect"), errno.EACCES),
    Primitive("data into code by key", "memory", make_executable("pkey_mprotect", -1)),
    _works(
        "map a kept file as code",
        "memory",
        on_file(lambda d: map_page(READ | EXEC, PRIVATE, d)),
        errno.EACCES,
    ),
    _works(
        "map a kept file", "memory", on_file(lambda d: map_page(READ, PRIVATE, d)), errno.EACCES
    ),
    Primitive("handle page faults", "memory", raw("userfaultfd", 0)),
)

_KERNEL: Final = (
    Primitive("io_uring", "kernel", raw("io_uring_setup", 1, bytes(120))),
    Primitive("asynchronous I/O", "kernel", raw("io_setup", 0, bytes(8))),
    Primitive("BPF", "kernel", raw("bpf", 5, None, 0)),
    Primitive("performance events", "kernel", raw("perf_event_open", None, 0, -1, -1, 0)),
    Primitive("file events", "kernel", raw("fanotify_init", 0xFFFF_FFFF, 0)),
    Primitive("another kernel", "kernel", raw("kexec_load", 0, 99, None, 0xFFFF)),
    Primitive("module", "kernel", raw("init_module", None, 0, None)),
    Primitive("module by handle", "kernel", raw("finit_module", -1, None, 0)),
    Primitive("remove a module", "kernel", raw("delete_module", None, 0)),
    Primitive("mount", "kernel", raw("mount", None, None, None, 0, None)),
    Primitive("unmount", "kernel", raw("umount2", _NOWHERE, 0)),
    Primitive("open a mount", "kernel", raw("open_tree", -1, None, 0)),
    Primitive("pivot root", "kernel", raw("pivot_root", _NOWHERE, _NOWHERE)),
    Primitive("change root", "kernel", raw("chroot", _NOWHERE)),
    Primitive("swap", "kernel", raw("swapon", _NOWHERE, 0)),
    _works("leave shared state", "kernel", raw("unshare", 0x200)),  # CLONE_FS
    Primitive("new namespace", "kernel", raw("unshare", 0x1000_0000)),  # CLONE_NEWUSER
    Primitive("enter a namespace", "kernel", raw("setns", -1, 0)),
    Primitive("kernel's log", "kernel", raw("syslog", 10, None, 0)),
    Primitive("port access", "kernel", raw("ioperm", 0, 0, 0)),
    Primitive("descriptor table", "kernel", raw("modify_ldt", 0, bytes(16), 16)),
    Primitive("keyring", "kernel", raw("keyctl", 0, -3, 0)),
    Primitive("add a key", "kernel", raw("add_key", b"user", None, None, 0, -3)),
    Primitive("ask for a key", "kernel", raw("request_key", b"user", None, None, 0)),
)

_IPC: Final = (
    Primitive("shared memory", "ipc", raw("shmget", 0, 0, 0)),
    Primitive("semaphores", "ipc", raw("semget", 0, -1, 0)),
    Primitive("message queue", "ipc", raw("msgget", 0x7374_726E, 0)),
    Primitive("POSIX message queue", "ipc", raw("mq_open", b"strongroom-none", 0, 0, None)),
    Primitive(
        "terminal input", "ipc", on_file(lambda d: call("ioctl", d, 0x5412, None))
    ),  # TIOCSTI
    _works("move pages into a pipe", "ipc", on_file(lambda d: call("vmsplice", d, None, 0, 0))),
)

_SELF: Final = (
    _works("dumpable again", "self", plain(lambda: prctl(4, 1))),  # PR_SET_DUMPABLE
    _works("set a limit", "self", plain(_lower_limit)),
    _works("data is code", "self", raw("personality", 0x0040_0000)),  # READ_IMPLIES_EXEC
    _works("change user", "self", raw("setresuid", -1, -1, -1)),
    Primitive("regain capabilities", "self", raw("capset", None, None)),
    Primitive("another filter", "self", raw("seccomp", 1, 0, None)),
    Primitive("timer", "self", raw("timer_create", 99, None, None)),
    Primitive("32-bit gate", "self", i386_gate),
    Primitive("x32 numbers", "self", plain(x32_call)),
)

PRIMITIVES: Final = (*_FILE, *_NETWORK, *_PROCESS, *_MEMORY, *_KERNEL, *_IPC, *_SELF)
"""All of them; some exist on one architecture only."""
