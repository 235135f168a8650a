"""The observer's numbers as Prometheus metrics.

``METRICS`` is the whole list; docs/operations.md shows the same one. No label names an
organisation, a key or a caller: who reads the monitoring need not know the customers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from strongroom.telemetry.counts import Histogram
from strongroom.telemetry.observer import Observer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_Samples = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class MetricKind:
    """One metric as it is documented. Counters get ``_total`` appended when they are shown."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str

    @property
    def shown(self) -> str:
        """The name that a scrape shows."""
        return f"{self.name}_total" if self.type == "counter" else self.name


METRICS: Final = tuple(
    MetricKind(f"strongroom_{name}", kind, labels, meaning)  # type: ignore[arg-type]
    for name, kind, labels, meaning in (
        ("requests_started", "counter", ("route",), "Requests that arrived."),
        ("requests_finished", "counter", ("reason",), "Requests answered in full, by the reason."),
        ("requests_refused", "counter", ("code",), "Requests refused or failed, by error code."),
        ("requests_abandoned", "counter", (), "Requests whose caller left before the end."),
        ("requests_in_flight", "gauge", ("route",), "Requests under way."),
        ("request_seconds", "histogram", ("route",), "From arrival to end, in seconds."),
        ("first_output_seconds", "histogram", (), "From arrival to the keeper's first output."),
        ("input_tokens", "counter", (), "Tokens (rows, for a classifier) sent to the keeper."),
        ("output_tokens", "counter", (), "Tokens (labels, for a classifier) answered."),
        ("egress_bits", "counter", (), "Bits that answers could carry out, as charged."),
        ("egress_window_bits", "gauge", ("window",), "Bits out in the last hour and day."),
        ("egress_budget_bits", "gauge", ("window",), "Most bits that may leave in each window."),
        ("model_effective_bits", "gauge", (), "Bits that carrying out the model takes."),
        ("egress_days_to_carry_out", "gauge", (), "Days to carry it out at the last day's rate."),
        ("keeper_up", "gauge", (), "Whether the keeper answers (1) or not (0)."),
        ("keeper_active", "gauge", (), "Answers that the keeper is generating."),
        ("keeper_waiting", "gauge", (), "Requests that wait inside the keeper."),
        ("keeper_wall", "gauge", ("wall",), "Whether a lock-down measure stands (1) or not (0)."),
        ("detection_signals", "counter", ("kind",), "Signals of detection, by kind."),
        ("log_entries", "gauge", (), "Entries of the log that are durable."),
        ("log_commit_seconds", "histogram", (), "Durable commits of the log, in seconds."),
        ("model_info", "gauge", ("model", "release", "kind"), "1, with what is served as labels."),
        ("start_time_seconds", "gauge", (), "When this gateway began, in seconds since 1970."),
    )
)


def registry(observer: Observer) -> CollectorRegistry:
    """A registry of its own with the observer's numbers and the process's (memory, descriptors)."""
    from prometheus_client import CollectorRegistry, ProcessCollector

    found = CollectorRegistry()
    found.register(_Collector(observer))
    ProcessCollector(registry=found)
    return found


class _Collector:
    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they stand now."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        values, histograms = _values(self._observer), _histograms(self._observer)
        for kind in METRICS:
            name = kind.name.removeprefix("strongroom_")
            if kind.type == "histogram":
                shown = HistogramMetricFamily(kind.name, kind.meaning, labels=kind.labels)
                for labels, histogram in histograms[name].items():
                    buckets = list(histogram.cumulative())
                    shown.add_metric(labels, buckets, sum_value=histogram.sum)
                yield shown
                continue
            family = families[kind.type](kind.name, kind.meaning, labels=kind.labels)
            for labels, value in values.get(name, {}).items():
                family.add_metric(labels, value)
            yield family


def _values(observer: Observer) -> dict[str, _Samples]:
    numbers = observer.numbers
    flight = {route: n - numbers.ended[route] for route, n in numbers.started.items()}
    return {
        "requests_started": _by(numbers.started),
        "requests_finished": _by(numbers.finished),
        "requests_refused": _by(numbers.refused),
        "requests_abandoned": {(): numbers.abandoned},
        "requests_in_flight": _by(flight),
        "input_tokens": {(): numbers.input_tokens},
        "output_tokens": {(): numbers.output_tokens},
        "egress_bits": {(): numbers.egress_millibits / 1000},
        "keeper_up": {(): int(observer.keeper_up)},
        "detection_signals": _by(numbers.signals),
        "log_entries": {(): numbers.log_entries},
        "start_time_seconds": {(): observer.since},
        **_model(observer),
        **_keeper(observer),
    }


def _model(observer: Observer) -> dict[str, _Samples]:
    facts = observer.facts
    if facts is None:
        return {}
    return {
        "model_effective_bits": {(): facts.effective_bits} if facts.effective_bits else {},
        "keeper_wall": {(wall,): int(state == "on") for wall, state in facts.walls.items()},
        "model_info": {(facts.name, str(facts.release), facts.kind): 1},
    }


def _keeper(observer: Observer) -> dict[str, _Samples]:
    load, facts = observer.load, observer.facts
    if load is None:
        return {}
    values: dict[str, _Samples] = {
        "egress_window_bits": {("hour",): load.bits_hour, ("day",): load.bits_day},
        "egress_budget_bits": {("hour",): load.budget_hour, ("day",): load.budget_day},
        "keeper_active": {(): load.active},
        "keeper_waiting": {(): load.waiting},
    }
    if facts is not None and facts.effective_bits:
        days = facts.effective_bits / load.bits_day if load.bits_day else math.inf
        values["egress_days_to_carry_out"] = {(): days}
    return values


def _histograms(observer: Observer) -> dict[str, dict[tuple[str, ...], Histogram]]:
    numbers = observer.numbers
    return {
        "request_seconds": {(route,): each for route, each in numbers.seconds.items()},
        "first_output_seconds": {(): numbers.first_output},
        "log_commit_seconds": {(): numbers.commit_seconds},
    }


def _by(counts: Mapping[str, int]) -> _Samples:
    return {(label,): count for label, count in counts.items()}
