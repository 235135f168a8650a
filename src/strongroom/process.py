"""How key release, keeper and gateway start and end: ``python -m strongroom.ROOM --config-fd N``.

1. Read the configuration, JSON, from descriptor N until its end; close it.
2. Do the room's work.
3. Exit 0, or tell why not: one line of JSON (``error``, ``message``, ``action``) on standard error
   and the error's exit code.

An exception that nobody foresaw could quote a key, a prompt or a weight in its text, and a
traceback quotes that text. Of such a one only the class and the line that raised it are told,
wherever it would surface: at the top, in a thread or in a finaliser.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import msgspec

from strongroom.errors import ConfigurationRefused, EnvironmentLacks, StrongroomError

MAX_CONFIG_BYTES = 1024 * 1024

_C = TypeVar("_C", bound=msgspec.Struct)


def run(room: str, config: type[_C], work: Callable[[_C, str], None]) -> int:
    """Steps 1 to 3, with the arguments of this process.

    Args:
        room: the package's name, ``keeper``.
        config: what its configuration must decode to.
        work: called with the configuration and the SHA-256 (hex) of its bytes; returns at an
            orderly end.

    Returns:
        The exit code.
    """
    sys.unraisablehook = lambda seen: _mention(room, seen.exc_type, seen.exc_traceback)
    threading.excepthook = lambda seen: _mention(room, seen.exc_type, seen.exc_traceback)
    parser = argparse.ArgumentParser(prog=f"python -m strongroom.{room}")
    parser.add_argument("--config-fd", type=int, required=True, help="descriptor of the JSON")
    try:
        work(*read_config(room, parser.parse_args().config_fd, config))
    except StrongroomError as error:
        return _end(error)
    except MemoryError:
        return _end(
            EnvironmentLacks(
                "process.out_of_memory",
                f"The memory did not suffice for the {room} process.",
                action="Give the machine more memory, or serve a smaller model.",
            )
        )
    except Exception as error:
        return _end(
            StrongroomError(
                "process.failed",
                f"The {room} process failed: {_place(type(error), error.__traceback__)}.",
                action="Report this as a defect.",
            )
        )
    return 0


def read_config(room: str, descriptor: int, config: type[_C]) -> tuple[_C, str]:
    """What ``descriptor`` gives until its end, decoded, and the SHA-256 (hex) of its bytes.

    The descriptor is closed. The digest is over the bytes as they came: evidence states it.

    Raises:
        ConfigurationRefused: ``process.bad_config``.
    """
    try:
        with os.fdopen(descriptor, "rb") as source:
            raw = source.read(MAX_CONFIG_BYTES + 1)
        if len(raw) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES} bytes")
        return msgspec.json.decode(raw, type=config), hashlib.sha256(raw).hexdigest()
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigurationRefused(
            "process.bad_config",
            f"The configuration of the {room} process cannot be used: {str(error)[:200]}.",
            action="Start it through `strongroom serve`, which writes it.",
        ) from None


def inherited_socket(descriptor: int, name: str) -> socket.socket:
    """The socket handed down as ``descriptor``, which the configuration calls ``name``.

    Raises:
        ConfigurationRefused: ``process.bad_socket``.
    """
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationRefused(
            "process.bad_socket",
            f"Descriptor {descriptor} is not a socket: {error.strerror}.",
            action=f"Hand down one end of a Unix socket pair as {name}.",
        ) from None


def _end(error: StrongroomError) -> int:
    _say({"error": error.code, "message": error.message, "action": error.action})
    return error.exit_code


def _mention(room: str, kind: type[BaseException], trace: TracebackType | None) -> None:
    """For what ends a thread or is lost in a finaliser: the process goes on."""
    _say({"room": room, "lost": _place(kind, trace)})


def _say(line: dict[str, str]) -> None:
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


def _place(kind: type[BaseException], trace: TracebackType | None) -> str:
    """``Class at function:line`` of the innermost frame, and nothing that it held."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return kind.__name__ + where
