"""What every contender shares: the keys of the bench, the digest of what was loaded, the report."""

from __future__ import annotations

import gc
import hashlib
import json
import mmap
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

KEY = hashlib.sha256(b"strongroom benchmark key").digest()


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of names."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def peak_bytes() -> int:
    """Highest resident set of this process since its start or the last ``reset_peak``."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(row.split()[1]) for row in status.splitlines() if "VmHWM" in row) * 1024


def reset_peak() -> None:
    """Forget the peak (``proc_pid_clear_refs(5)``, value 5)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def back_memory(size: int) -> None:
    """Have the machine back ``size`` bytes of free memory, in a child that gives them up again.

    A hypervisor that takes free pages back charges their return to whoever touches them first: up
    to thirty times the cost of the load, and by chance. Every contender gets the same free memory,
    in blocks that suit small and huge pages alike, just before its clock starts.
    """
    child = os.fork()
    if child == 0:
        region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        region.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            region[at] = 1
        os._exit(0)
    os.waitpid(child, 0)


def timed_load(load: Callable[[], Mapping[str, torch.Tensor]]) -> None:
    """Time one load, then report seconds, the memory it added at its peak, and the digest."""
    torch.zeros(1)
    if "STRONGROOM_BENCH_BACKING" in os.environ:
        back_memory(int(os.environ["STRONGROOM_BENCH_BACKING"]))
    gc.collect()  # what the imports left must not be collected on somebody's clock
    reset_peak()
    before = peak_bytes()
    start = time.perf_counter()
    tensors = load()
    seconds = time.perf_counter() - start
    added = peak_bytes() - before
    report(seconds=seconds, peak_added=added, digest=digest(tensors), tensors=len(tensors))


def timed(work: Callable[[], Any]) -> None:
    """Time ``work`` once and report."""
    start = time.perf_counter()
    work()
    report(seconds=time.perf_counter() - start, peak_added=peak_bytes())


def report(**values: object) -> None:
    """One line of JSON: the contender's whole output."""
    print(json.dumps(values))
