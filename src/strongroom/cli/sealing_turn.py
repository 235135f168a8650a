"""One sealing of a model at a time: two would both be the release after the one seen, a fork."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.errors import ConfigurationRefused


@contextmanager
def only_sealing(state: Path, model_id: str) -> Iterator[None]:
    """Hold the right to seal ``model_id`` in the home whose state lies in ``state``.

    Sealing takes as long as the model is large, so whoever comes second is told and does not wait.
    The kernel gives the right back when its holder ends, however it ends.

    Raises:
        ConfigurationRefused: ``cli.sealing_runs``.
    """
    short = hashlib.sha256(model_id.encode()).hexdigest()[:16]
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(state / f"sealing-{short}.lock", flags, 0o600)
    try:
        _take(descriptor, model_id)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, model_id: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationRefused(
            "cli.sealing_runs",
            f"Another `strongroom seal` of {model_id} runs in this home.",
            action="Wait until it ends; the next release follows from its release.",
        ) from None
