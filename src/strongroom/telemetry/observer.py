"""What the request path tells the watchers.

For each request: ``observer.request(route)`` once, then of the returned ``Watched`` at most once
each ``admitted`` and ``first_output``, and exactly one of ``finished``, ``refused``, ``abandoned``.
What comes after an ending counts for nothing, so a ``finally`` may call ``abandoned`` always.

For the process: ``model`` when the keeper has greeted, ``keeper`` with each of its status frames,
``keeper_gone`` at its end, ``committed`` after each durable commit of the log, ``signal`` for each
detection. All are called on the event loop's thread; none waits, none raises for what it is told.

No organisation, key or text of a request has a parameter here: none can reach metrics or traces.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from strongroom.telemetry.counts import COMMIT_SECONDS, REQUEST_SECONDS, Histogram, Labelled

Route = Literal["chat", "completions", "embeddings", "infer", "other"]
"""``chat``, ``completions`` and ``infer`` reach the model; ``other`` is everything else."""

ROUTES: tuple[Route, ...] = ("chat", "completions", "embeddings", "infer", "other")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model that is served. ``effective_bits``: what carrying it out takes; 0 if not known.

    ``rungs`` maps organisation to rung of disclosure (``*``: everybody else), ``walls`` each
    lock-down measure to ``on`` or why it is off, ``egress`` says the budget in words.
    """

    name: str
    model_id: str
    release: int
    digest: str
    kind: str
    rungs: Mapping[str, str]
    walls: Mapping[str, str]
    egress: str
    effective_bits: float = 0.0


@dataclass(frozen=True, slots=True)
class KeeperLoad:
    """The keeper's own account: answers under way and waiting; bits out and budgets, both windows.

    Windows slide: the last hour, the last day.
    """

    active: int
    waiting: int
    bits_hour: float
    bits_day: float
    budget_hour: float
    budget_day: float


class Tracer(Protocol):
    """Who makes a span of a request that has ended; see ``traces``."""

    def ended(self, watched: Watched, outcome: str, status: int) -> None:
        """``outcome`` is a finish reason or a refusal's code; ``status`` the HTTP status."""


@dataclass(slots=True)
class Numbers:
    """Everything counted since the process began."""

    started: Labelled = field(default_factory=Labelled)
    ended: Labelled = field(default_factory=Labelled)
    finished: Labelled = field(default_factory=Labelled)
    refused: Labelled = field(default_factory=Labelled)
    signals: Labelled = field(default_factory=Labelled)
    abandoned: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    egress_millibits: int = 0
    log_entries: int = 0
    seconds: dict[str, Histogram] = field(
        default_factory=lambda: {route: Histogram(REQUEST_SECONDS) for route in ROUTES}
    )
    first_output: Histogram = field(default_factory=lambda: Histogram(REQUEST_SECONDS))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(COMMIT_SECONDS))


class Observer:
    """Counts what the gateway does. Make one a process.

    Args:
        tracer: gets every ended request, if there is one.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self.numbers = Numbers()
        self.facts: ModelFacts | None = None
        self.load: KeeperLoad | None = None
        self.keeper_up = False
        self.since = time.time()
        self._tracer = tracer

    def request(self, route: Route) -> Watched:
        """A request has arrived at ``route``."""
        self.numbers.started[route] += 1
        return Watched(self.numbers, route, self._tracer)

    def model(self, facts: ModelFacts) -> None:
        """The keeper has greeted: it serves this model."""
        self.facts = facts
        self.keeper_up = True

    def keeper(self, load: KeeperLoad) -> None:
        """The keeper has said how it stands."""
        self.load = load

    def keeper_gone(self) -> None:
        """The keeper answers no more."""
        self.keeper_up = False

    def committed(self, entries: int, seconds: float) -> None:
        """The log is durable up to ``entries`` in all; that commit took ``seconds``."""
        self.numbers.log_entries = entries
        self.numbers.commit_seconds.add(seconds)

    def signal(self, kind: str) -> None:
        """Detection has raised a signal of this kind."""
        self.numbers.signals.bump(kind)


class Watched:
    """One request. Nothing of its content is held, only counts and times.

    ``began`` is on ``time.perf_counter``; ``first`` the seconds until output, or ``None``.
    """

    __slots__ = (
        "_numbers",
        "_tracer",
        "began",
        "first",
        "input_tokens",
        "max_tokens",
        "open",
        "output_tokens",
        "route",
        "seconds",
    )

    def __init__(self, numbers: Numbers, route: Route, tracer: Tracer | None) -> None:
        self._numbers = numbers
        self._tracer = tracer
        self.route = route
        self.open = True
        self.began = time.perf_counter()
        self.first: float | None = None
        self.seconds = 0.0
        self.input_tokens = 0
        self.max_tokens = 0
        self.output_tokens = 0

    def admitted(self, input_tokens: int, max_tokens: int) -> None:
        """All checks passed: so many tokens (rows, for a classifier) go to the keeper."""
        self.input_tokens = input_tokens
        self.max_tokens = max_tokens
        self._numbers.input_tokens += input_tokens

    def first_output(self) -> None:
        """The first output has come from the keeper."""
        self.first = time.perf_counter() - self.began
        self._numbers.first_output.add(self.first)

    def finished(self, reason: str, output_tokens: int, egress_millibits: int) -> None:
        """Answered in full.

        ``reason``: ``stop``, ``length``, ``egress``, ``label``, ``embedding`` or ``served``.
        """
        if self._end(reason, 200, output_tokens, egress_millibits):
            self._numbers.finished.bump(reason)

    def refused(
        self, code: str, status: int, output_tokens: int = 0, egress_millibits: int = 0
    ) -> None:
        """Refused or failed with the code that the caller was told, perhaps after some output."""
        if self._end(code, status, output_tokens, egress_millibits):
            self._numbers.refused.bump(code)

    def abandoned(self, output_tokens: int = 0, egress_millibits: int = 0) -> None:
        """The caller went away before the end."""
        if self._end("abandoned", 499, output_tokens, egress_millibits):
            self._numbers.abandoned += 1

    def _end(self, outcome: str, status: int, output_tokens: int, millibits: int) -> bool:
        if not self.open:
            return False
        self.open = False
        self.output_tokens = output_tokens
        self.seconds = time.perf_counter() - self.began
        numbers = self._numbers
        numbers.output_tokens += output_tokens
        numbers.egress_millibits += millibits
        numbers.ended[self.route] += 1
        numbers.seconds[self.route].add(self.seconds)
        if self._tracer is not None:
            self._tracer.ended(self, outcome, status)
        return True
