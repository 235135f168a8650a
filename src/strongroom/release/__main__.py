"""The key-release process: ``python -m strongroom.release --config-fd N``.

1. Read the configuration (``strongroom.process``); harden, before any key is read.
2. Load the service key and open the unlockers.
3. Serve the inherited socket. Each decision is one line of JSON on standard output, and nothing is
   answered before a line on standard input has said that it is recorded (``recording``). The
   workload keeps the socket as long as it lives: it renews its lease over it.
4. When the workload hangs up, or on SIGTERM or SIGINT: overwrite the keys and end.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from types import FrameType

from strongroom import process
from strongroom.release.approvals.counting import counting
from strongroom.release.config import ReleaseConfig
from strongroom.release.hardening import harden
from strongroom.release.lineage_store import watching
from strongroom.release.protocol import ReleaseService
from strongroom.release.recording import Recorder
from strongroom.release.server import serve
from strongroom.release.service_key import ServiceKey
from strongroom.release.unlockers import open_unlocker


def main() -> int:
    """Run the process; returns its exit code."""
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _stop)
    return process.run("release", ReleaseConfig, _work)


def _work(config: ReleaseConfig, _digest: str) -> None:
    harden()
    with ExitStack() as stack:
        unlockers = []
        for configured in config.unlockers:
            unlocker = open_unlocker(configured)
            stack.callback(unlocker.close)
            unlockers.append(unlocker)
        grants = config.grants if config.policy.allow.approvals else None
        approvals = None if grants is None else stack.enter_context(counting(grants))
        lineage = config.lineage
        standing = None if lineage is None else stack.enter_context(watching(lineage))
        service = ReleaseService(
            service_key=ServiceKey.load(config.service_key),
            unlockers=unlockers,
            policy=config.policy,
            record=Recorder(sys.stdout.fileno(), sys.stdin.fileno()),
            approvals=approvals,
            standing=standing,
            manifest=config.manifest,
            once=config.once,
        )
        with process.inherited_socket(config.release_fd, "release_fd") as sock:
            serve(sock, service)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
