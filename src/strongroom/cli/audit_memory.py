"""A bit flipped in the memory of a served keeper, from outside: the drill of a failing machine.

1. In the place of the audit's server another is started on the same home, whose patrol goes round
   faster; otherwise it is what ``strongroom serve`` is: key release, keeper, gateway, record.
2. A stretch of some weight, as the audit opened it, is looked for in the keeper's memory, and one
   bit of it is flipped through ``/proc/PID/mem``. A keeper lets nobody else of its user do so, and
   nothing in it helps: this needs root, or CAP_SYS_PTRACE.
3. The keeper is watched until it ends, then the server until it serves afresh.
4. At the end the server is stopped, and its record is read.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.audit_serving import ServedDoor, Server, run_strongroom, settings_text
from strongroom.cli.home import Home
from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Watched

if TYPE_CHECKING:
    import torch

ROUND = 1
"""Seconds of a round of the patrol in the drill."""

_ROUNDS = 3
"""So many rounds are waited for a flipped bit to be found."""

_TURN = 0.01
_NEEDLE = 256
_CHUNK = 32 * 1024 * 1024
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw.p \S+ \S+ 0 *$", re.MULTILINE)
"""A line of ``/proc/PID/maps``: private, writable, of no file, and neither heap nor stack."""


def open_memory(
    home: Home,
    door: ServedDoor,
    tensors: Mapping[str, torch.Tensor],
    stack: ExitStack,
    seed: int,
    budget: Budget,
) -> Any:
    """A ``RunningKeeper``.

    Args:
        home: the owner's, for its settings.
        door: the audit's server, which makes room for the drill's.
        tensors: the model's weights as they were opened.
        stack: ends the drill's server if nobody asked for the record.

    Raises:
        ExposureRefused: ``exposure.memory_closed``, ``exposure.server_failed``.
    """
    _require_right(keeper_of(door.pid))
    meter, own = Meter(budget.queries), stack.enter_context(ExitStack())
    by = random.Random(seed)  # noqa: S311
    server = own.enter_context(door.aside(settings_text(home, patrol_seconds=ROUND)))  # (1)

    def watch(flip: bool) -> Watched:
        meter.charge(1)
        try:
            found = _watched(server, tensors if flip else {}, by)
        except BaseException:
            own.close()
            raise
        meter.answered()
        return found

    def recorded() -> int:
        own.close()  # (4)
        words = ("log", "tail", "-n", "1000", "--log", "gateway", "--json", "--home", door.home)
        entries = [json.loads(line) for line in run_strongroom(*words).splitlines()]
        return sum("keeper.weights_altered" in json.dumps(entry) for entry in entries)

    try:
        server.said()
    except ExposureRefused:
        own.close()
        raise
    return close({"watch": watch, "recorded": recorded, "spent": meter.spent})


def _watched(server: Server, tensors: Mapping[str, torch.Tensor], by: random.Random) -> Watched:
    """Steps 2 and 3; no bit is flipped where there are no tensors."""
    keeper, never = keeper_of(server.pid), float("inf")
    if tensors:
        flip_bit(keeper, tensors, by)
    began = time.monotonic()
    while _lives(keeper):
        if time.monotonic() - began > _ROUNDS * ROUND:
            return Watched(never, never)
        time.sleep(_TURN)
    wait = time.monotonic() - began
    try:
        server.said()
    except ExposureRefused:
        return Watched(wait, never)
    return Watched(wait, time.monotonic() - began - wait)


def flip_bit(pid: int, tensors: Mapping[str, torch.Tensor], by: random.Random) -> None:
    """Flip one bit of one of the weights in the memory of process ``pid``.

    Raises:
        ExposureRefused: ``exposure.memory_closed``: it may not be written, or holds no weights.
    """
    needle = _stretch(tensors, by)
    try:
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            address = next(_places(pid, memory.fileno(), needle), None)
            if address is None:
                raise refuse("exposure.memory_closed", why="the weights are not found in it")
            address += by.randrange(len(needle))
            (byte,) = os.pread(memory.fileno(), 1, address)
            os.pwrite(memory.fileno(), bytes([byte ^ 1 << by.randrange(8)]), address)
    except OSError as error:
        raise refuse("exposure.memory_closed", why=error.strerror or "no reason") from None


def _stretch(tensors: Mapping[str, torch.Tensor], by: random.Random) -> bytes:
    """Some bytes of some weight, each weight as likely as it is large."""
    import torch

    large = [each for each in tensors.values() if each.nbytes >= _NEEDLE] or list(tensors.values())
    flat = by.choices(large, [each.nbytes for each in large])[0].reshape(-1).view(torch.uint8)
    at = by.randrange(max(1, len(flat) - _NEEDLE + 1))
    return bytes(flat[at : at + _NEEDLE].tolist())


def _places(pid: int, memory: int, needle: bytes) -> Iterator[int]:
    """Where the needle lies, the largest mapping first: weights are opened into one, and what was
    left of a copy on its way lies in smaller ones."""
    found = _MAPPING.findall(Path(f"/proc/{pid}/maps").read_text("ascii"))
    spans = [(int(start, 16), int(stop, 16)) for start, stop in found]
    for start, stop in sorted(spans, key=lambda span: span[0] - span[1]):
        for at in range(start, stop, _CHUNK):
            size = min(_CHUNK + len(needle), stop - at)
            try:
                place = os.pread(memory, size, at).find(needle)
            except OSError:  # a page that is only reserved
                continue
            if place >= 0:
                yield at + place


def _require_right(pid: int) -> None:
    """Refuse before a server is started in vain."""
    try:
        Path(f"/proc/{pid}/mem").open("r+b", buffering=0).close()
    except OSError as error:
        raise refuse("exposure.memory_closed", why=error.strerror or "no reason") from None


def keeper_of(serve: int) -> int:
    """The keeper's process below the one of ``strongroom serve``.

    Raises:
        ExposureRefused: ``exposure.target_gone``.
    """
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if int(parent[1]) == serve and b"strongroom.keeper" in words:
                return int(folder.name)
    raise refuse("exposure.target_gone", why="the server has no keeper")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] not in {"Z", "X"}
