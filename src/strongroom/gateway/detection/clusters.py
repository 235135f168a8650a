"""Templates that many organisations share: one extraction spread over many accounts.

A prompt's template is known by the least hash of its shingles of four tokens (MinHash; Broder
1997), in four bands: prompts that share most of their shingles share most bands. For each band
value, a *cluster*, the organisations that use it are counted. The score is the number of
organisations whose prompts are mostly of that one template: what spreading looks like, and what a
popular public template looks like too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from strongroom.gateway.detection.interface import Kind
from strongroom.gateway.detection.recombination import LEAST_JUDGED, Recombination
from strongroom.gateway.detection.sketching import TextSketch

MOST_CLUSTERS: Final = 4096
MOST_MEMBERS: Final = 1024
MOST_STREAMS: Final = 64
MOST_ORGANISATIONS: Final = 65_536

_LEAST_EACH: Final = 4
_LEAST_SHARE: Final = 0.5
_PROMOTED_AT: Final = 4
_EVERY: Final = 32


class Cluster:
    """One template: prompts of each organisation, and once several use it, how they vary."""

    __slots__ = ("era", "members", "since", "spoken", "spread", "stream", "total")

    def __init__(self, era: int, now: float) -> None:
        self.era = era
        self.members: dict[str, int] = {}
        self.stream: Recombination | None = None
        self.spoken: set[Kind] = set()
        self.since = now
        self.total = 0
        self.spread = 0

    def scores(self) -> dict[Kind, float]:
        """Those of which enough was seen."""
        found: dict[Kind, float] = {"spread": float(self.spread)}
        stream = self.stream
        if stream and stream.judged >= LEAST_JUDGED and self.spread >= _PROMOTED_AT:
            found["spread_grid"] = stream.score
        return found

    def faithful(self, prompts: Mapping[str, int]) -> tuple[str, ...]:
        """The organisations whose prompts are mostly of this template, the busiest first.

        Args:
            prompts: of each organisation, all its prompts.
        """
        found = [
            name
            for name, count in self.members.items()
            if count >= max(_LEAST_EACH, _LEAST_SHARE * prompts.get(name, 0))
        ]
        return tuple(sorted(found, key=lambda name: -self.members[name]))

    def halve(self, era: int, now: float) -> None:
        """Let what is older count for less; after two eras without a prompt, for nothing."""
        if era - self.era > 1:
            self.members, self.stream, self.since = {}, None, now
        self.members = _halved(self.members)
        self.spoken.clear()
        self.era = era


class Clusters:
    """All clusters; the one longest unused is forgotten first."""

    def __init__(self) -> None:
        self._clusters: OrderedDict[int, Cluster] = OrderedDict()
        self.prompts: OrderedDict[str, int] = OrderedDict()
        self._era = 0
        self._streams: OrderedDict[int, Cluster] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clusters)

    def add(self, organisation: str, sketch: TextSketch, now: float) -> Cluster | None:
        """Count one prompt; the cluster with most organisations among its bands."""
        self.prompts[organisation] = self.prompts.get(organisation, 0) + 1
        self.prompts.move_to_end(organisation)
        if len(self.prompts) > MOST_ORGANISATIONS:
            self.prompts.popitem(last=False)
        widest: tuple[int, Cluster] | None = None
        for band in sketch.bands:
            cluster = self._count(band, organisation, now)
            if widest is None or len(cluster.members) > len(widest[1].members):
                widest = band, cluster
        if widest is None:
            return None
        band, cluster = widest
        if len(cluster.members) >= _PROMOTED_AT:
            self._stream(band, cluster).add(sketch)
        return cluster

    def age(self) -> None:
        """Half a window is over: what was counted before counts half. Clusters follow when used."""
        self._era += 1
        self.prompts = OrderedDict(_halved(self.prompts))

    def _count(self, band: int, organisation: str, now: float) -> Cluster:
        cluster = self._clusters.get(band)
        if cluster is None:
            cluster = self._clusters[band] = Cluster(self._era, now)
            if len(self._clusters) > MOST_CLUSTERS:
                gone, _ = self._clusters.popitem(last=False)
                self._streams.pop(gone, None)
        else:
            self._clusters.move_to_end(band)
            if cluster.era != self._era:
                cluster.halve(self._era, now)
        members = cluster.members
        if organisation in members or len(members) < MOST_MEMBERS:
            members[organisation] = members.get(organisation, 0) + 1
        cluster.total += 1
        if cluster.total % _EVERY == 0 and len(members) >= _PROMOTED_AT:
            cluster.spread = len(cluster.faithful(self.prompts))
        return cluster

    def _stream(self, band: int, cluster: Cluster) -> Recombination:
        if cluster.stream is None:
            cluster.stream = Recombination()
            self._streams[band] = cluster
            if len(self._streams) > MOST_STREAMS:
                self._streams.popitem(last=False)[1].stream = None
        else:
            self._streams.move_to_end(band)
        return cluster.stream


def _halved(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count // 2 for name, count in counts.items() if count > 1}
