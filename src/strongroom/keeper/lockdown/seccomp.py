"""Wall ``seccomp``: an allow-list of system calls for every thread; the rest kills the process.

A keeper that serves reads, writes and waits on descriptors that it has, computes in threads, and
takes and gives back memory. It opens nothing, starts nothing, connects to nothing. Three refusals
are errors instead of deaths, because healthy libraries meet them on their own:

- ``openat`` for reading: glibc's allocator looks at ``/proc/sys/vm/overcommit_memory`` when it
  first gives a thread's heap back, perhaps after hours. Opening for writing kills.
- ``clone3``: glibc tries it first and falls back to ``clone``, whose flags a filter can see.
- executable pages (profile ``no-exec``): oneDNN tries to compile for a shape that warm-up did not
  meet, and uses slower code where it may not.

Leaves: what the kept descriptors can do, and whatever flaw the allowed calls may have.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final, Literal

from strongroom.keeper.lockdown import kernel
from strongroom.keeper.lockdown.bpf import (
    KILL,
    AllBits,
    Condition,
    IsInt,
    IsNull,
    NoBits,
    Rule,
    compile_filter,
    refuse,
)

Profile = Literal["no-exec", "jit"]

# include/uapi/linux/seccomp.h
SET_MODE_FILTER: Final = 1
GET_ACTION_AVAIL: Final = 2
TSYNC: Final = 1

# include/uapi/asm-generic/mman-common.h and fcntl.h (aarch64 and x86_64 agree on these bits)
PROT_EXEC: Final = 4
MAP_ANONYMOUS: Final = 0x20
OPEN_TO_WRITE: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# include/uapi/linux/sched.h
THREAD: Final = 0x0001_0900  # CLONE_THREAD, CLONE_SIGHAND, CLONE_VM
NOT_A_THREAD: Final = 0x7E82_F0FF
"""Every CLONE_NEW*, UNTRACED, PARENT, VFORK, PTRACE and PIDFD, and an exit signal (low byte)."""

PR_SET_NAME: Final = 15

_PLAIN: Final = (
    # descriptors that exist already, and waiting for them
    *("read", "write", "writev", "recvfrom", "shutdown", "close"),
    *("poll", "ppoll", "select", "pselect6"),
    *("epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"),
    # threads
    *("futex", "sched_yield", "sched_getaffinity", "rseq", "set_robust_list", "membarrier"),
    # memory; sysinfo: glibc's qsort asks how much there is
    *("munmap", "mremap", "brk", "madvise", "msync", "sysinfo"),
    # time and randomness; where the vDSO has no clock they are real calls
    *("clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep"),
    "getrandom",
    # signals that ask to stop, and the end
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("getpid", "gettid", "getrusage", "exit", "exit_group"),
)


def rules(profile: Profile, process: int) -> tuple[Rule, ...]:
    """The allow-list for ``process``, most frequent calls first."""
    no_exec: tuple[Condition, ...] = (NoBits(2, PROT_EXEC),) if profile == "no-exec" else ()
    denied = refuse(errno.EACCES)
    return (
        *(Rule(name) for name in _PLAIN),
        Rule("mmap", (AllBits(3, MAP_ANONYMOUS), *no_exec), otherwise=denied),
        Rule("mprotect", no_exec, otherwise=denied),
        Rule("sendto", (IsNull(4),)),  # only to the peer that the socket already has
        Rule("clone", (AllBits(0, THREAD), NoBits(0, NOT_A_THREAD))),
        Rule("clone3", action=refuse(errno.ENOSYS)),
        Rule("openat", (NoBits(2, OPEN_TO_WRITE),), action=denied),
        Rule("tgkill", (IsInt(0, process),)),  # abort() and raise()
        Rule("prlimit64", (IsInt(0, 0), IsNull(2))),  # asking, not setting
        Rule("prctl", (IsInt(0, PR_SET_NAME),)),  # a new thread names itself
    )


def filter_for(profile: Profile) -> bytes:
    """The compiled programme for this machine and process.

    Raises:
        Unavailable: no system call table for this architecture.
    """
    kernel.number("seccomp")
    return compile_filter(rules(profile, os.getpid()), kernel.MACHINE, kernel.number)


def kill_is_available() -> bool:
    """Whether the kernel has filters that can end a whole process (Linux 4.14).

    Raises:
        Unavailable: no system call table for this architecture.
    """
    action = ctypes.create_string_buffer(struct.pack("=I", KILL), 4)
    try:
        return kernel.call("seccomp", GET_ACTION_AVAIL, 0, action) == 0
    except OSError:
        return False


def allow_only_serving(profile: Profile) -> None:
    """Put the filter on every thread at once, for good; ``no-new-privs`` must be up.

    Raises:
        OSError: the kernel refused.
        Unavailable: no table for this architecture, or a thread could not be brought under it.
    """
    code = filter_for(profile)
    programme = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: number of instructions, then a pointer to them
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(programme))
    thread = kernel.call(
        "seccomp", SET_MODE_FILTER, TSYNC, ctypes.create_string_buffer(header, len(header))
    )
    if thread:
        raise kernel.Unavailable(f"thread {thread} has a filter of its own")
