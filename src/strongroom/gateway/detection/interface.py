"""Queries in, signals out, and what a signal may do.

A score is a number whose larger values speak for extraction. A signal is raised when a score
passes its threshold; it says so again only after ``Thresholds.window`` seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["grid", "coverage", "spread", "spread_grid", "distances", "outlying", "neighbours"]
KINDS: tuple[Kind, ...] = (
    "grid", "coverage", "spread", "spread_grid", "distances", "outlying", "neighbours"
)  # fmt: skip


Action = Literal["record", "throttle", "suspend"]


class Rows(msgspec.Struct, frozen=True):
    """The input of a classification and its outcome.

    ``data``: ``rows`` inputs one after another, little-endian float32 (``F32``) or bytes (``U8``);
    ``labels``: the index of the class that each was given.
    """

    data: bytes
    dtype: Literal["F32", "U8"]
    rows: int
    labels: tuple[int, ...]


class Signal(msgspec.Struct, frozen=True):
    """Something that looks like extraction.

    ``subjects``: the organisations concerned, at most 1,024 of them, the busiest first; ``score``
    and ``threshold`` in the detector's own unit; ``since``: start of what was looked at, in
    seconds of the caller's clock; ``seen``: the keys of an organisation, or the prompts of a shared
    template. ``explanation``: one sentence without any of a query's content.
    """

    kind: Kind
    subjects: tuple[str, ...]
    score: float
    threshold: float
    explanation: str
    since: float
    seen: int


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Score above which each detector speaks; ``docs/detection.md`` says how they were found.

    ``window``: seconds without a query after which a subject is forgotten, and between two signals
    of one kind on one subject.
    """

    grid: float = 0.8
    coverage: float = 0.72
    spread: float = 10.0
    spread_grid: float = 0.1
    distances: float = 0.12
    outlying: float = 1.2
    neighbours: float = 0.04
    window: float = 86_400.0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signal does besides being recorded.

    ``throttle``: for ``seconds``, each request of a subject counts as ``factor`` against its rate.
    ``suspend``: for ``seconds``, its requests are refused.
    """

    action: Action = "record"
    factor: Annotated[int, Meta(ge=2, le=1000)] = 10
    seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 3600


class DetectionConfig(Policy, frozen=True, forbid_unknown_fields=True):
    """``[detection]`` of strongroom.toml. ``most_per_second``: queries looked at; of more, a random
    share is, so that watching costs a bounded part of a core."""

    enabled: bool = True
    most_per_second: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    thresholds: Thresholds = Thresholds()


class Standing(msgspec.Struct, frozen=True):
    """How an organisation is treated now: ``factor`` 1 is as ever."""

    suspended: bool
    factor: int
    until: float


class State(msgspec.Struct, frozen=True):
    """For console and metrics: ``active`` signals of the last window, the latest last."""

    queries: int
    organisations: int
    clusters: int
    raised: dict[str, int]
    active: tuple[Signal, ...]
