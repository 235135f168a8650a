"""``python -m strongroom.keeper --config-fd N``: one keeper process (see ``process``)."""

from __future__ import annotations

import os

from strongroom import process
from strongroom.keeper.config import KeeperConfig


def main() -> int:
    """Run a keeper; the exit code is 0 after an orderly stop."""
    return process.run("keeper", KeeperConfig, _work)


def _work(config: KeeperConfig, digest: str) -> None:
    from strongroom.keeper.process import Stopped, run  # imports torch: seconds

    try:
        run(config, digest)
    except Stopped:
        return


if __name__ == "__main__":
    # The interpreter's own farewell would make calls that lock-down forbids; nothing is left to do.
    os._exit(main())
