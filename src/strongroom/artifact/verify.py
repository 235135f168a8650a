"""Verify a sealed model without a key: it is whole, unaltered, and signed by someone trusted.

After the six steps of ``reading.open_bodies``:

7. Every segment of every part hashes to its entry in the signed list.

What this does not say: that the contents make sense, or that a recipient can open it. The record
of releases is checked and not advanced; opening advances it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from strongroom.artifact import parallel
from strongroom.artifact.manifest import Manifest
from strongroom.artifact.reading import Bodies, open_bodies, runs
from strongroom.artifact.trust import ReleaseState, Trust


def verify(
    folder: Path,
    *,
    trust: Trust,
    state: ReleaseState | None = None,
    now: datetime | None = None,
    progress: parallel.Progress | None = None,
    threads: int | None = None,
) -> Manifest:
    """The manifest of the sealed model in ``folder``, once everything fits it.

    Args:
        folder: the sealed model.
        trust: whose signature counts.
        state: newest releases seen; None does not look at history.
        now: the time to compare ``not_after`` with; None is the clock's.
        progress: called with (bytes done, bytes in all), from one thread at a time.
        threads: how many to use; None is one a core, at most 8.

    Raises:
        ArtifactRefused: with the reason's code; ``docs/errors.md`` lists them.
    """
    count = parallel.thread_count(threads)
    with open_bodies(folder, trust, state, now) as bodies:
        total = sum(body.placed.geometry.body_bytes for body in bodies.all)
        meter = parallel.Meter(total, progress)
        parallel.run(runs(bodies.all), lambda: _hasher(bodies, meter), count)  # (7)
        return bodies.manifest


def _hasher(bodies: Bodies, meter: parallel.Meter) -> Callable[[tuple[int, range]], None]:
    scratch = memoryview(bytearray(bodies.manifest.parameters.segment_bytes))

    def check(job: tuple[int, range]) -> None:
        body = bodies.all[job[0]]
        for number in job[1]:
            segment = body.read_segment(number, scratch)
            body.require_hash(number, segment)
            meter.add(len(segment))

    return check
