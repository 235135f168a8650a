"""What a training process is told at its start: canonical JSON on an inherited descriptor."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.tune.frames import JobId


class TuneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Start-up configuration of one job's training process; see ``keeper.config`` for the rest.

    ``job_fd`` is the socket to the runner. ``change`` is the largest share of its own norm by which
    the adapter may change a weight. ``profile`` is ``jit``: conversations have all lengths, and
    oneDNN makes code for each; ``no-exec`` refuses it that, and is several times slower.
    """

    sealed: str
    signers: tuple[str, ...]
    service_key: str
    release_state: str
    release_fd: int
    job_fd: int
    job: JobId
    change: Annotated[float, Meta(gt=0, le=1)] = 0.5
    profile: Literal["no-exec", "jit"] = "jit"
    required_walls: tuple[str, ...] = ()
    strict: bool = True
    threads: Annotated[int, Meta(ge=1, le=1024)] = 2
