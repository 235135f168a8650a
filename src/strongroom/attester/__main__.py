"""The attester process: ``python -m strongroom.attester --config-fd N``.

1. Read the configuration (``strongroom.process``) and the bundles that it names.
2. Answer over the inherited socket, until the workload hangs up or SIGTERM or SIGINT comes.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from strongroom import process
from strongroom.attester.config import AttesterConfig
from strongroom.attester.serving import serve
from strongroom.attester.sources import attester_of


def main() -> int:
    """Run the process; returns its exit code."""
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _stop)
    return process.run("attester", AttesterConfig, _work)


def _work(config: AttesterConfig, _digest: str) -> None:
    attester = attester_of(config.source)  # (1)
    with process.inherited_socket(config.attester_fd, "attester_fd") as sock:
        serve(sock, attester)  # (2)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
