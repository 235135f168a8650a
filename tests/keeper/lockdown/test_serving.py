"""What a keeper does all day must not end it: torch, threads, the allocator, a channel."""

from __future__ import annotations

import pytest

from .children import SIGSYS, run_child

pytest.importorskip("torch")

FORWARD = """
import socket, select, sys, time
import torch
import torch.nn.functional as F
from strongroom.keeper import lockdown
profile, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
def forward(rows, length, dtype):
    rows_in = torch.ones(rows, length, 128).to(dtype)
    made = F.linear(rows_in, torch.ones(256, 128).to(dtype))
    heads = torch.ones(rows, 2, length, 64).to(dtype)
    seen = F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    return float(made.float().sum()), float(seen.float().sum())
def expected(rows, length):
    return rows * length * 256 * 128.0, rows * 2 * length * 64.0
BOTH = (torch.float32, torch.bfloat16)
for dtype in BOTH:
    forward(1, 16, dtype)
ours, theirs = socket.socketpair()
walls = lockdown.lock(profile, keep_fds=[1, 2, ours.fileno(), theirs.fileno()])
for name, state in walls.items():
    if state != "on" and not (name == "mdwe" and profile == "jit"):
        os.write(1, f"{name}: {state}".encode())
        os._exit(1)
for dtype in BOTH:
    for rows, length in [(1, 16)] * 20 + [(r, n) for r in (1, 2, 5) for n in (1, 7, 33, 64)]:
        try:
            seen = forward(rows, length, dtype)
        except RuntimeError as error:
            if (profile, dtype) == ("no-exec", torch.bfloat16) and (rows, length) != (1, 16):
                if "could not create a primitive" in str(error):
                    continue
            raise
        if seen != expected(rows, length):
            os.write(1, f"wrong result for {rows} {length} {dtype}".encode())
            os._exit(1)
poll = select.poll()
poll.register(ours, select.POLLIN)
theirs.sendall(b"ping")
while not poll.poll(10):
    time.sleep(0.001)
assert ours.recv(4) == b"ping"
os.write(theirs.fileno(), b"pong")
assert os.read(ours.fileno(), 4) == b"pong"
os.write(1, b"served")
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("profile", ["no-exec", "jit"])
def test_warmed_and_new_shapes_are_computed_correctly(profile: str, threads: int) -> None:
    """For bf16 instructions oneDNN has no way but compiling, so there a new shape is an error."""
    done = run_child(FORWARD, profile, str(threads))
    assert (done.returncode, done.stdout) == (0, "served"), done.stderr


TEAM = """
import sys, torch, ctypes
from strongroom.keeper import lockdown
from strongroom.keeper.lockdown import seccomp
if sys.argv[1] == "without":
    whole = seccomp.rules
    seccomp.rules = lambda *given: tuple(r for r in whole(*given) if r.call != "clone")
openmp = ctypes.CDLL(None)
Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
reached = []
body = Body(lambda _: reached.append(1))
def region(size):
    reached.clear()
    openmp.GOMP_parallel(body, None, size, 0)
    return len(reached)
region(4)
lockdown.lock("no-exec", keep_fds=[1, 2])
os.write(1, f"{region(4)} {region(2)} {region(4)}".encode())
os._exit(0)
"""


@pytest.mark.slow
def test_an_openmp_team_that_shrank_can_grow_again() -> None:
    assert run_child(TEAM, "with").stdout == "4 2 4"
    assert run_child(TEAM, "without").returncode == SIGSYS  # so the rule is needed


HEAP = """
import ctypes, sys, threading
from strongroom.keeper import lockdown
from strongroom.keeper.lockdown import seccomp
if sys.argv[1] == "without":
    whole = seccomp.rules
    seccomp.rules = lambda *given: tuple(r for r in whole(*given) if r.call != "openat")
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
go, done = threading.Event(), threading.Event()
def in_a_heap_of_its_own():
    libc.free(libc.malloc(64))
    go.wait()
    for taken in [libc.malloc(100_000) for _ in range(64)][::-1]:
        libc.free(taken)
    done.set()
threading.Thread(target=in_a_heap_of_its_own, daemon=True).start()
lockdown.lock("no-exec", keep_fds=[1, 2])
go.set()
done.wait()
os.write(1, b"given back")
os._exit(0)
"""


def test_the_allocator_may_look_for_a_file_in_vain() -> None:
    assert run_child(HEAP, "with").stdout == "given back"
    without = run_child(HEAP, "without")
    if without.returncode == 0:
        pytest.skip("this C library's allocator does not look")
    assert without.returncode == SIGSYS  # so the rule is needed
