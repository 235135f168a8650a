"""Who computes what in the next step: continuous batching without any tensor.

Invariant: slots are dense. Jobs that decode hold slots ``0..n-1`` in order; at most one job with
part of its prompt still to read holds slot ``n``. So a step's attention over all decoding jobs is
one call on a plain prefix of the cache. When a job leaves, the last decoding job moves into its
slot; ``release`` returns those moves for the cache to follow.

Fairness: waiting jobs start in order of arrival. A step always carries every decoding job (one
row each) and fills up with prompt rows to a fixed number, so reading prompts slows decoding by a
bounded amount and can never stop it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from strongroom.boundary.automaton import START
from strongroom.keeper.engine.interface import GenerateJob

SHARED_ROWS = 64
"""Rows of a step, decoding ones included, while somebody decodes. Twice as many when nobody does:
there this kind of matrix product stops gaining."""
NATIVE_SHARED_ROWS = 256
"""The same where the processor multiplies bf16: a row costs so little that reading the weights
once more costs more."""


def row_buckets(largest: int) -> tuple[int, ...]:
    """The row counts that are ever computed: 1, 2, 3, 4, 6, 8, 12, … up to at least ``largest``."""
    sizes, power = [1], 2
    while sizes[-1] < largest:
        sizes += [power, power + power // 2]
        power *= 2
    kept = sizes[: bisect_left(sizes, largest) + 1]
    return tuple(kept)


def padded(rows: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds ``rows``."""
    return buckets[bisect_left(buckets, rows)]


@dataclass(slots=True)
class Active:
    """A job that holds a slot. ``length`` positions of its cache are filled.

    ``state`` is how far its constraint has come, ``pooled`` the sum of hidden states of a pooled
    job.
    """

    job: GenerateJob
    slot: int
    length: int = 0
    produced: int = 0
    last_token: int = 0
    state: int = START
    pooled: Any = None

    @property
    def prompt_left(self) -> int:
        """Prompt tokens still to read."""
        return max(len(self.job.tokens) - self.length, 0)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of one job's prompt, ``tokens[start:stop]``, to read in this step."""

    active: Active
    start: int
    stop: int

    @property
    def last(self) -> bool:
        """Whether the prompt ends here, so that its first token can be drawn."""
        return self.stop == len(self.active.job.tokens)


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: ``decoding`` in slot order, then ``segments`` in slot order."""

    decoding: tuple[Active, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the first ``length`` cache positions of slot ``source`` to slot ``target``."""

    source: int
    target: int
    length: int


@dataclass(slots=True)
class Scheduler:
    """Queue, slots and their order. Pure: no tensor, no clock."""

    max_streams: int
    shared_rows: int = SHARED_ROWS
    waiting: deque[GenerateJob] = field(default_factory=deque)
    slots: list[Active] = field(default_factory=list)

    def knows(self, job_id: int) -> bool:
        """Whether a job is queued or active."""
        return any(job.id == job_id for job in self.waiting) or any(
            active.job.id == job_id for active in self.slots
        )

    def uses(self, adapter: str) -> bool:
        """Whether a queued or active job names ``adapter``."""
        return any(job.adapter == adapter for job in self.waiting) or any(
            active.job.adapter == adapter for active in self.slots
        )

    def plan(self) -> Plan:
        """Choose the next step's rows; jobs that start get their slots here."""
        decoding = tuple(active for active in self.slots if not active.prompt_left)
        rows = self.shared_rows if decoding else 2 * self.shared_rows
        budget = max(rows - len(decoding), self.shared_rows // 2)
        return Plan(decoding, tuple(self._segments(budget)))

    def _segments(self, budget: int) -> Iterator[Segment]:
        unread = [active for active in self.slots if active.prompt_left]
        while budget > 0:
            active = unread.pop() if unread else self._start_next()
            if active is None:
                return
            stop = active.length + min(active.prompt_left, budget)
            budget -= stop - active.length
            yield Segment(active, active.length, stop)

    def _start_next(self) -> Active | None:
        if not self.waiting or len(self.slots) >= self.max_streams:
            return None
        active = Active(self.waiting.popleft(), slot=len(self.slots))
        self.slots.append(active)
        return active

    def forget_waiting(self, job_id: int) -> bool:
        """Drop a queued job."""
        for job in self.waiting:
            if job.id == job_id:
                self.waiting.remove(job)
                return True
        return False

    def release(self, active: Active) -> tuple[Move, ...]:
        """Free a slot and close the gap; follow the moves in order."""
        moves: list[Move] = []
        decoding = sum(not other.prompt_left for other in self.slots)
        gap = active.slot
        if not active.prompt_left and gap != decoding - 1:
            moves.append(self._move(self.slots[decoding - 1], gap))
            gap = decoding - 1
        if gap != len(self.slots) - 1:
            moves.append(self._move(self.slots[-1], gap))
        self.slots.pop()
        return tuple(moves)

    def _move(self, active: Active, target: int) -> Move:
        move = Move(active.slot, target, active.length)
        self.slots[target] = active
        active.slot = target
        return move
