"""The key-release process: ``python -m strongroom.release --config-fd N``.

1. Read the configuration (``strongroom.process``); harden, before any key is read.
2. Load the service key and open the unlockers.
3. Serve the inherited socket; each decision is one line of JSON on standard output.
4. When the workload hangs up, or on SIGTERM or SIGINT: overwrite the keys and end.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from types import FrameType

import msgspec

from strongroom import process
from strongroom.release.config import ReleaseConfig
from strongroom.release.hardening import harden
from strongroom.release.protocol import ReleaseService
from strongroom.release.record import Decision
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
        service = ReleaseService(
            service_key=ServiceKey.load(config.service_key),
            unlockers=unlockers,
            policy=config.policy,
            record=_print_decision,
            lease_seconds=config.lease_seconds,
        )
        with process.inherited_socket(config.release_fd, "release_fd") as sock:
            serve(sock, service)


def _print_decision(decision: Decision) -> None:
    sys.stdout.write(msgspec.json.encode(decision).decode() + "\n")
    sys.stdout.flush()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
