"""The key-release process: ``python -m strongroom.release --config-fd N``.

1. Harden, before any key is read.
2. Read the configuration from descriptor N until its end.
3. Load the service key and open the unlockers.
4. Serve the inherited socket; each decision is one line of JSON on standard output.
5. When the workload hangs up, or on SIGTERM or SIGINT: overwrite the keys and exit 0. A failure is
   one line of JSON on standard error and the error's exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from contextlib import ExitStack
from types import FrameType

import msgspec

from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.release.config import ReleaseConfig
from strongroom.release.hardening import harden
from strongroom.release.protocol import ReleaseService
from strongroom.release.record import Decision
from strongroom.release.server import serve
from strongroom.release.service_key import ServiceKey
from strongroom.release.unlockers import open_unlocker

_MAX_CONFIG_BYTES = 1024 * 1024


def main(arguments: list[str] | None = None) -> int:
    """Run the process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m strongroom.release")
    parser.add_argument("--config-fd", type=int, required=True)
    descriptor: int = parser.parse_args(arguments).config_fd
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _stop)
    try:
        harden()
        _run(read_config(descriptor))
    except StrongroomError as error:
        print(_error_line(error), file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def read_config(descriptor: int) -> ReleaseConfig:
    """Read and close ``descriptor``; ``release.bad_config`` if that is not a configuration."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise msgspec.DecodeError("it is too large")
        return msgspec.json.decode(content, type=ReleaseConfig)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(
            "release.bad_config",
            f"The key-release configuration cannot be used: {error}.",
            action="Start this process through `strongroom serve`.",
        ) from None


def _run(config: ReleaseConfig) -> None:
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
        with _socket(config.release_fd) as sock:
            serve(sock, service)


def _socket(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationRefused(
            "release.bad_socket",
            f"Descriptor {descriptor} is not a socket: {error.strerror}.",
            action="Hand down one end of a Unix socket pair as release_fd.",
        ) from None


def _print_decision(decision: Decision) -> None:
    sys.stdout.write(msgspec.json.encode(decision).decode() + "\n")
    sys.stdout.flush()


def _error_line(error: StrongroomError) -> str:
    line = {"error": error.code, "message": error.message, "action": error.action}
    return msgspec.json.encode(line).decode()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
