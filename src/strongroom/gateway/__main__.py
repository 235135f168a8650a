"""The gateway process: ``python -m strongroom.gateway --config-fd N`` (see ``server``)."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import uvloop

from strongroom import process
from strongroom.gateway.config import GatewayConfig
from strongroom.gateway.server import serve
from strongroom.telemetry import logs


def main() -> int:
    """Run the process; returns its exit code."""
    signal.signal(signal.SIGTERM, _stop)  # uvicorn drains, then raises the signal again
    return process.run("gateway", GatewayConfig, _work)


def _work(config: GatewayConfig, _digest: str) -> None:
    os.umask(0o077)
    # or asyncio and uvicorn would print tracebacks, which quote
    logs.configure(config.watching.log_level)
    uvloop.run(serve(config))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
