"""The gateway process: ``python -m strongroom.gateway --config-fd N``.

Reads ``GatewayConfig`` as JSON from descriptor N until its end, then serves (see ``server``). A
failure is one line of JSON on standard error and the error's exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

import msgspec
import uvloop

from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.gateway.config import GatewayConfig
from strongroom.gateway.server import serve

_MAX_CONFIG_BYTES = 1024 * 1024


def main(arguments: list[str] | None = None) -> int:
    """Run the process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m strongroom.gateway")
    parser.add_argument("--config-fd", type=int, required=True)
    descriptor: int = parser.parse_args(arguments).config_fd
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _stop)  # uvicorn drains, then raises the signal again
    try:
        uvloop.run(serve(read_config(descriptor)))
    except StrongroomError as error:
        line = {"error": error.code, "message": error.message, "action": error.action}
        print(msgspec.json.encode(line).decode(), file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def read_config(descriptor: int) -> GatewayConfig:
    """Read and close ``descriptor``; ``gateway.bad_config`` if that is not a configuration."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise msgspec.DecodeError("it is too large")
        return msgspec.json.decode(content, type=GatewayConfig)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(
            "gateway.bad_config",
            f"The gateway's configuration cannot be used: {error}.",
            action="Start this process through `strongroom serve`.",
        ) from None


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
