"""``Detector``: one cheap call for each request, which may yield signals.

1. sketch the query: from here on there are only hashes and projections;
2. update the organisation's own streams and those it shares with others;
3. compare each score with its threshold, and raise a signal at most once a window;
4. if the policy says so, remember how the signal's subjects are to be treated.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from strongroom.gateway.detection.clusters import Cluster, Clusters
from strongroom.gateway.detection.coverage import Coverage
from strongroom.gateway.detection.distances import Distances
from strongroom.gateway.detection.explanations import explain
from strongroom.gateway.detection.interface import (
    KINDS,
    DetectionConfig,
    Kind,
    Policy,
    Rows,
    Signal,
    Standing,
    State,
)  # fmt: skip
from strongroom.gateway.detection.population import Closeness, Population
from strongroom.gateway.detection.recombination import LEAST_JUDGED, Recombination
from strongroom.gateway.detection.sampling import Sampler
from strongroom.gateway.detection.sketching import Sketcher, TextSketch

MOST_ORGANISATIONS: Final = 1024
"""Organisations with streams of their own; the one longest silent is forgotten first."""

LEAST_SAMPLES: Final = 2
LEAST_ROWS: Final = 64

_MOST_KEYS: Final = 1024
_MOST_STANDINGS: Final = 65_536
_MOST_RAISED: Final = 8192
_SHOWN: Final = 256
_NORMAL: Final = Standing(suspended=False, factor=1, until=0.0)


Query = Sequence[int] | Rows


class _Organisation:
    """Everything kept of one organisation: at most 200 KiB."""

    __slots__ = ("closeness", "coverage", "distances", "keys", "last", "recombination", "since")

    def __init__(self, number: int, now: float) -> None:
        self.recombination: Recombination | None = None
        self.coverage = Coverage()
        self.distances: Distances | None = None
        self.closeness = Closeness(number)
        self.keys: set[str] = set()
        self.since = self.last = now


class Detector:
    """All detectors over one door. Not thread-safe: it belongs to the event loop.

    Args:
        config: when to speak, what a signal does, how many queries to look at.
        common: token ids of an empty conversation, which every prompt of this model holds.
        secret: keys the sketches; random by default, so that they die with the process.
    """

    def __init__(
        self,
        config: DetectionConfig = DetectionConfig(),  # noqa: B008 - frozen
        common: Sequence[int] = (),
        secret: bytes | None = None,
    ) -> None:
        self.policy: Policy = config
        self._thresholds = config.thresholds
        self._sampler = Sampler(config.most_per_second)
        self._sketcher = Sketcher(secret or secrets.token_bytes(32), common)
        self._organisations: OrderedDict[str, _Organisation] = OrderedDict()
        self._clusters = Clusters()
        self._population: Population | None = None
        self._raised: OrderedDict[tuple[Kind, str], float] = OrderedDict()
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._active: deque[Signal] = deque(maxlen=_SHOWN)
        self._counts = dict.fromkeys(KINDS, 0)
        self._queries = self._numbers = 0
        self._aged_at = float("-inf")
        self._now = 0.0

    def observe(
        self, organisation: str, key_id: str, query: Query, now: float
    ) -> tuple[Signal, ...]:
        """Take note of one query: the token ids of a prompt, or classified rows.

        Args:
            organisation: who is answerable.
            key_id: which of its keys; only counted, for the explanation.
            query: nothing of it is kept.
            now: seconds of a clock that does not go back.
        """
        self._queries += 1
        self._now = now
        if not self._sampler.take(now):
            return ()
        if now - self._aged_at > self._thresholds.window / 2:
            self._clusters.age()
            self._aged_at = now
        own = self._organisation(organisation, now)
        if len(own.keys) < _MOST_KEYS:
            own.keys.add(key_id)
        if isinstance(query, Rows):
            return self._rows(organisation, own, query)
        return self._text(organisation, own, self._sketcher.text(query))

    def scores(self, organisation: str) -> dict[Kind, float]:
        """The organisation's own scores of which enough was seen; for measurements and consoles."""
        own = self._organisations.get(organisation)
        if own is None:
            return {}
        found: dict[Kind, float] = {}
        stream, distances = own.recombination, own.distances
        if stream is not None and stream.judged >= LEAST_JUDGED:
            found["grid"] = stream.score
        if own.coverage.samples >= LEAST_SAMPLES:
            found["coverage"] = own.coverage.score
        if distances is not None and distances.count >= LEAST_ROWS:
            found["distances"] = distances.score
        if own.closeness.count >= LEAST_ROWS:
            found["outlying"] = own.closeness.outlying
            found["neighbours"] = own.closeness.near
        return found

    def standing(self, organisation: str, now: float) -> Standing:
        """How the policy has the organisation treated now."""
        found = self._standings.get(organisation)
        if found is None:
            return _NORMAL
        if now >= found.until:
            del self._standings[organisation]
            return _NORMAL
        return found

    @property
    def state(self) -> State:
        """What an operator may see."""
        oldest = self._now - self._thresholds.window
        active = (s for s in self._active if self._raised.get((s.kind, s.subjects[0]), 0) >= oldest)
        return State(
            queries=self._queries,
            organisations=len(self._organisations),
            clusters=len(self._clusters),
            raised={str(kind): count for kind, count in self._counts.items()},
            active=tuple(active),
        )

    def _organisation(self, name: str, now: float) -> _Organisation:
        own = self._organisations.get(name)
        if own is None or now - own.last > self._thresholds.window:
            self._numbers += 1
            own = self._organisations[name] = _Organisation(self._numbers, now)
            if len(self._organisations) > MOST_ORGANISATIONS:
                self._organisations.popitem(last=False)
        self._organisations.move_to_end(name)
        own.last = now
        return own

    def _text(self, name: str, own: _Organisation, sketch: TextSketch) -> tuple[Signal, ...]:
        if own.recombination is None:
            own.recombination = Recombination()
        own.coverage.add(own.recombination.add(sketch))
        cluster = self._clusters.add(name, sketch, self._now)
        return (*self._own_signals(name, own), *self._shared_signals(cluster))

    def _rows(self, name: str, own: _Organisation, rows: Rows) -> tuple[Signal, ...]:
        inputs, labels = self._sketcher.rows(rows)
        if own.distances is None:
            own.distances = Distances(inputs.shape[1])
        own.distances.add(inputs, labels)
        if self._population is None:
            self._population = Population(inputs.shape[1])
        self._population.add(inputs, own.closeness)
        return self._own_signals(name, own)

    def _own_signals(self, name: str, own: _Organisation) -> tuple[Signal, ...]:
        raised = [
            self._raise(kind, (name,), score, own.since, len(own.keys))
            for kind, score in self.scores(name).items()
            if score > getattr(self._thresholds, kind)
        ]
        return tuple(signal for signal in raised if signal is not None)

    def _shared_signals(self, cluster: Cluster | None) -> tuple[Signal, ...]:
        if cluster is None:
            return ()
        limits = self._thresholds
        found = [
            (kind, score)
            for kind, score in cluster.scores().items()
            if kind not in cluster.spoken and score > getattr(limits, kind)
        ]
        if not found:
            return ()
        members = cluster.faithful(self._clusters.prompts)
        if not members:
            return ()
        cluster.spoken.update(kind for kind, _ in found)
        raised = [
            self._raise(kind, members, score, cluster.since, cluster.total) for kind, score in found
        ]
        return tuple(signal for signal in raised if signal is not None)

    def _raise(
        self, kind: Kind, subjects: tuple[str, ...], score: float, since: float, count: int
    ) -> Signal | None:
        last = self._raised.get((kind, subjects[0]))
        if last is not None and self._now - last < self._thresholds.window:
            return None
        for subject in subjects:
            self._raised[(kind, subject)] = self._now
            self._raised.move_to_end((kind, subject))
            self._treat(subject)
        while len(self._raised) > _MOST_RAISED:
            self._raised.popitem(last=False)
        threshold = float(getattr(self._thresholds, kind))
        text = explain(kind, score, threshold, len(subjects), count)
        signal = Signal(kind, subjects, round(score, 4), threshold, text, since, count)
        self._counts[kind] += 1
        self._active.append(signal)
        return signal

    def _treat(self, subject: str) -> None:
        policy = self.policy
        if policy.action == "record":
            return
        suspended = policy.action == "suspend"
        factor = policy.factor if policy.action == "throttle" else 1
        self._standings[subject] = Standing(suspended, factor, self._now + policy.seconds)
        self._standings.move_to_end(subject)
        if len(self._standings) > _MOST_STANDINGS:
            self._standings.popitem(last=False)
