"""The pages that hold weights, and who may read them."""

from __future__ import annotations

import mmap
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.keeper.lockdown import protect_arena

from .children import drop_capabilities, run_child

READER = """
import sys
pid, address = sys.argv[1:]
try:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(int(address))
        print(memory.read(32).decode())
except OSError as error:
    print(type(error).__name__)
"""

VICTIM = """
import contextlib, ctypes, os, sys
from strongroom.keeper.lockdown import capabilities, lock
from strongroom.keeper.lockdown.kernel import prctl
from strongroom.keeper.lockdown.threads import Threads
with contextlib.suppress(OSError):  # a kernel without Yama does not know it
    prctl(0x59616D61, 2**64 - 1)  # PR_SET_PTRACER_ANY: the control works under Yama too
secret = ctypes.create_string_buffer(b"weights " * 4, 32)
if sys.argv[1] == "locked":
    lock("no-exec", keep_fds=[0, 1, 2])
else:
    capabilities.drop_all(Threads())
os.write(1, f"{ctypes.addressof(secret)}\\n".encode())
os.read(0, 1)
os._exit(0)
"""


def read_by_the_same_user(state: str) -> str:
    """What a process of the same user, without capabilities, reads of one that holds a secret."""
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as victim:
        try:
            assert victim.stdout is not None
            address = victim.stdout.readline().decode().strip()
            done = subprocess.run(
                [sys.executable, "-c", READER, str(victim.pid), address],
                preexec_fn=drop_capabilities,
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout.strip()
        finally:
            victim.kill()


def test_the_same_user_cannot_read_the_memory() -> None:
    if Path("/proc/sys/kernel/yama/ptrace_scope").exists() and (
        int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text()) >= 2
    ):
        pytest.skip("here the kernel lets nobody trace: the control cannot work")
    assert read_by_the_same_user("free") == ("weights " * 4).strip()
    assert read_by_the_same_user("locked") == "PermissionError"


def flags_of(view: memoryview) -> tuple[str, set[str]]:
    """The mode and the ``VmFlags`` (proc(5)) of the mapping that ``view`` begins in."""
    import ctypes

    start = ctypes.addressof(ctypes.c_char.from_buffer(view))
    mode = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            low, high = (int(word, 16) for word in words[0].split("-"))
            inside = low <= start < high
            mode = words[1] if inside else mode
        elif inside and words[0] == "VmFlags:":
            return mode, set(words[1:])
    raise AssertionError("no such mapping")


def test_pages_are_kept_from_dumps_children_and_swap() -> None:
    with mmap.mmap(-1, 8 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as arena:
        view = memoryview(arena)[: 5 * mmap.PAGESIZE + 7]
        assert not {"dd", "dc", "lo"} & flags_of(view)[1]  # the control
        done = protect_arena(view)
        mode, flags = flags_of(view)
        assert {"dd", "dc"} <= flags
        assert done["arena-no-dump"] == done["arena-no-fork"] == "on"
        assert (done["arena-locked"] == "on") == ("lo" in flags)
        assert (done["arena-read-only"] == "on") == (mode == "r--p")
        assert "on" in (done["arena-locked"], done["arena-read-only"])
        view.release()


BEYOND_THE_LIMIT = """
    import mmap, sys
    from strongroom.keeper.lockdown import protect_arena
    import resource
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    arena = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    arena[:7] = b"weights"
    done = protect_arena(memoryview(arena))
    print(done, flush=True)
    if sys.argv[1] == "write":
        arena[0] = 0
    arena.madvise(mmap.MADV_DONTNEED)  # how the arena is wiped
    print(bytes(arena[:7]))
    """


def test_beyond_the_limit_pages_are_read_only_instead_and_can_still_be_wiped() -> None:
    done = run_child(BEYOND_THE_LIMIT, "wipe", ordinary=True)
    said, wiped = done.stdout.splitlines()
    assert "RLIMIT_MEMLOCK" in said
    assert "'arena-read-only': 'on'" in said
    assert wiped == repr(bytes(7))
    assert run_child(BEYOND_THE_LIMIT, "write", ordinary=True).returncode == -signal.SIGSEGV


def test_no_core_is_dumped_behind_walls() -> None:
    done = run_child(
        """
        import resource
        from strongroom.keeper import lockdown
        lockdown.lock("no-exec", keep_fds=[1, 2])
        os.write(1, repr(resource.getrlimit(resource.RLIMIT_CORE)).encode())
        os._exit(0)
        """
    )
    assert done.stdout == "(0, 0)"
