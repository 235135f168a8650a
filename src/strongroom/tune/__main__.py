"""``python -m strongroom.tune --config-fd N``: the process that trains (see ``process``)."""

from __future__ import annotations

import os

from strongroom import process
from strongroom.tune.config import TuneConfig


def main() -> int:
    """Train one job; the exit code is 0 after an orderly end."""
    return process.run("tune", TuneConfig, _work)


def _work(config: TuneConfig, digest: str) -> None:
    from strongroom.tune.process import Stopped, run  # imports torch: seconds

    try:
        run(config, digest)
    except Stopped:
        return


if __name__ == "__main__":
    # The interpreter's own farewell would make calls that lock-down forbids; nothing is left to do.
    os._exit(main())
