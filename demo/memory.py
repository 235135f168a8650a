"""Searches another process's memory through ``/proc/PID/mem``, as an attacker would.

``python -m demo.memory PID HEX...`` prints one line of JSON: how many bytes were read and where
each needle was found, or the error with which the kernel refused. The attack runs it as a process
of its own without capabilities.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

CHUNK = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemorySearch:
    """What a search saw: ``hits`` counts, a needle each, in the needles' order."""

    bytes_read: int = 0
    hits: list[int] = field(default_factory=list)
    refusal: str = ""


def search_memory(pid: int, needles: Sequence[bytes]) -> MemorySearch:
    """Count occurrences of each needle in all readable private memory of ``pid``."""
    hits, total = [0] * len(needles), 0
    overlap = max(map(len, needles)) - 1
    try:
        regions = list(_readable_regions(pid))
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for start, end in regions:
                tail = b""
                for chunk in _chunks(memory.fileno(), start, end):
                    total += len(chunk)
                    window = tail + chunk
                    for index, needle in enumerate(needles):
                        hits[index] += _count(window, needle)
                    tail = window[-overlap:] if overlap else b""
    except PermissionError as error:
        return MemorySearch(total, hits, f"{error.strerror} ({error.filename})")
    return MemorySearch(total, hits)


def _readable_regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, mode = line.split()[:2]
        if mode[0] == "r" and "[v" not in line:  # [vvar], [vdso], [vsyscall] hold no data
            start, end = (int(part, 16) for part in span.split("-"))
            yield start, end


def _chunks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        try:
            chunk = os.pread(descriptor, min(CHUNK, end - start), start)
        except PermissionError:
            raise
        except OSError:
            return  # a guard page, or the region went away meanwhile
        if not chunk:
            return
        yield chunk
        start += len(chunk)


def _count(window: bytes, needle: bytes) -> int:
    # The overlap is one byte shorter than the longest needle; a shorter one may be counted twice
    # at a seam, which does not matter to "found or not".
    return window.count(needle)


def main() -> int:
    """Search the process named on the command line."""
    pid, *needles = sys.argv[1:]
    print(json.dumps(asdict(search_memory(int(pid), [bytes.fromhex(text) for text in needles]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
