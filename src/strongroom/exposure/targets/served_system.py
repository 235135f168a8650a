"""The served door for several callers at once, over HTTP, as customers of one service have it.

Refusals are results: nothing is waited for and nothing is asked again. What the server's processors
did is read from the kernel, by the owner of the machine that runs it.
"""

from __future__ import annotations

import atexit
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.busy_caller import BusyCaller
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.http import Door
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Answered, Load

ATTACKER, VICTIM = "caller", "other"
"""Names of the keys of two organisations that know nothing of each other."""

_WORDS = ("river", "stone", "paper", "garden", "window", "silver", "winter", "letter", "summer")
_REACHES = 0.02
"""Seconds until a request that was sent is being worked on; waited in every round."""


@dataclass(frozen=True)
class Serving:
    """What callers of one service share.

    Attributes:
        url: of the door.
        model: its name there.
        keys: API keys by the auditor's names for them.
        compute: processor seconds that the server has used; constant where nobody can see them.
        chat: whether text goes to the chat route, or to plain completions.
        row: shape of a classifier's input; empty for a language model.
        bounds: least and largest value of an input.
        context: longest text in tokens.
    """

    url: str
    model: str
    keys: Mapping[str, str]
    compute: Callable[[], float]
    chat: bool = True
    row: tuple[int, ...] = ()
    bounds: tuple[float, float] = (0.0, 1.0)
    context: int = 2048


def open_callers(serving: Serving, budget: Budget) -> Any:
    """A ``Door``: requests with any of the keys, one at a time."""
    meter = Meter(budget.queries, budget.seconds)
    callers = {name: _Caller(serving, key, meter) for name, key in serving.keys.items()}

    def ask(who: str, load: Load) -> Answered:
        meter.charge(1)
        before = serving.compute()
        said = callers[who].send(load)
        meter.answered(said.units)
        return Answered(said.code, said.seconds, serving.compute() - before, said.units)

    return close({"ask": ask, "spent": meter.spent})


def open_prefix_rounds(serving: Serving, bits: Sequence[bool], seed: int, budget: Budget) -> Any:
    """``Rounds``: the other tenant asks the attacker's prompt first, or another, by ``bits``."""
    meter = Meter(budget.queries, budget.seconds)
    attacker, victim = (_Caller(serving, serving.keys[n], meter) for n in (ATTACKER, VICTIM))
    by = random.Random(seed)  # noqa: S311
    length = min(80, serving.context // 12)

    def times(number: int) -> list[float]:
        asked, other = (" ".join(by.choices(_WORDS, k=length)) for _ in range(2))
        meter.charge(2)
        victim.must(Load(asked if bits[number] else other, 1))
        seconds = attacker.must(Load(asked, 1))
        meter.answered(2)
        return [seconds]

    return close({"times": times, "spent": meter.spent})


def open_activity_rounds(
    serving: Serving, bits: Sequence[bool], budget: Budget, *, probes: int = 2
) -> Any:
    """``Rounds``: while the attacker asks small things the other tenant is served, by ``bits``."""
    meter = Meter(budget.queries, budget.seconds)
    attacker = _Caller(serving, serving.keys[ATTACKER], meter)
    small = Load(rows=1) if serving.row else Load("Hi", 1)
    busy = Load(rows=16) if serving.row else Load("Tell me about rivers.", 8)
    other = BusyCaller(serving.url, serving.keys[VICTIM], *_request(serving, busy))
    atexit.register(other.end)

    def times(number: int) -> list[float]:
        meter.charge(probes)
        with other if bits[number] else nullcontext():
            time.sleep(_REACHES)
            found = [attacker.must(small) for _ in range(probes)]
        if number == len(bits) - 1:
            other.end()
            atexit.unregister(other.end)
        meter.answered(probes)
        return found

    return close({"times": times, "spent": meter.spent})


class _Caller:
    """One key's own connection."""

    def __init__(self, serving: Serving, key: str, meter: Meter) -> None:
        self._serving = serving
        self._meter = meter
        self._refusals = Meter(0, 0.0)  # no time is left: whoever says "later" has refused
        self._door = Door(serving.url, key, self._refusals)
        self._seen = 0

    def must(self, load: Load) -> float:
        """Seconds until the answer, where a refusal would spoil the measurement.

        Raises:
            ExposureRefused: ``exposure.endpoint_refused``.
        """
        said = self.send(load)
        if said.code:
            raise refuse("exposure.endpoint_refused", why=said.code)
        return said.seconds

    def send(self, load: Load) -> Answered:
        """One request; only a server that is gone raises."""
        path, body = _request(self._serving, load)
        known = self._refusals.spent().refusals
        began = time.perf_counter()
        try:
            answer = self._door.post(path, body)
        except ExposureRefused as error:
            seconds, code = time.perf_counter() - began, self._refused_since(known)
            if not code:
                raise error
            self._meter.refused(code)
            return Answered(code, seconds)
        seconds = time.perf_counter() - began
        usage = answer.get("usage") or {}
        units = load.rows or int(usage.get("completion_tokens", 0))
        return Answered("", seconds, units=units)

    def _refused_since(self, known: Mapping[str, int]) -> str:
        now = self._refusals.spent().refusals
        return next((code for code in now if now[code] > known.get(code, 0)), "")


def _request(serving: Serving, load: Load) -> tuple[str, dict[str, Any]]:
    """Path and body."""
    if load.rows:
        low, high = serving.bounds
        by = random.Random(load.rows)  # noqa: S311
        shape = [load.rows, *serving.row]
        data = [round(by.uniform(low, high), 3) for _ in range(prod(shape))]
        tensor = {"name": "input", "shape": shape, "datatype": "FP32", "data": data}
        path = f"/v2/models/{serving.model}/infer"
        return path, {"inputs": [tensor], "outputs": [{"name": "label"}]}
    body: dict[str, Any] = {"model": serving.model, "max_tokens": load.tokens, "temperature": 0}
    if serving.chat:
        said = [{"role": "user", "content": load.prompt}]
        return "/v1/chat/completions", {**body, "messages": said}
    return "/v1/completions", {**body, "prompt": load.prompt}


def processor_seconds(pid: int) -> float:
    """Processor time of a process and of all below it, to the nanosecond, of threads that live."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting, total = [pid], 0
    while waiting:
        one = waiting.pop()
        waiting += parents.get(one, [])
        for thread in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with suppress(OSError, ValueError, IndexError):
                total += int(thread.read_text("ascii").split()[0])
    return total / 1e9
