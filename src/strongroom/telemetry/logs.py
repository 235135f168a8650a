"""Structured logs: one JSON object a line, made of fields that are allowed by name and by shape.

Our own code logs a constant event name and fields: ``log.info("gateway.listening", extra={"url":
url})``. Everything else that a line could carry is left out, because it could quote a caller:

1. text with arguments, f-strings, and whatever libraries log: only where it was logged;
2. an exception's own text: only its class and the line that raised it;
3. a field without a name here, or whose value does not have that field's shape: its name only.

So a prompt, an answer or a key can get into a line only through a field whose shape it has, and the
shapes have no room for one.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

from strongroom.errors import ConfigurationRefused, StrongroomError

_WORD: Final = re.compile(r"[a-z][a-z0-9_.\-]{0,63}")
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_NAME: Final = re.compile(r"[A-Za-z0-9._/\-]{1,128}")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,100}")
_DIGEST: Final = re.compile(r"[0-9a-f]{16,128}")
_SECRET: Final = re.compile(r"sr_[0-9a-f]{16}_|sro_[0-9a-f]{16}_")

FIELDS: Final[dict[str, re.Pattern[str] | type]] = {
    "action": _WORD,
    "address": _ADDRESS,
    "code": _WORD,
    "digest": _DIGEST,
    "egress_millibits": int,
    "entries": int,
    "exit_code": int,
    "input_tokens": int,
    "key_id": re.compile(r"[0-9a-f]{16}"),
    "kind": _NAME,
    "model": _NAME,
    "output_tokens": int,
    "reason": _WORD,
    "release": int,
    "route": _WORD,
    "seconds": float,
    "signal": _WORD,
    "status": int,
    "wall": _WORD,
}
"""Every field a line may have besides ``time``, ``level``, ``event``, ``at`` and ``error``."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; see the module for what is left out."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end. Never raises for what a record holds."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            **_event(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        withheld = []
        for key, value in sorted(given.items()):
            if _fits(key, value):
                line[key] = value
            else:
                withheld.append(key if _WORD.fullmatch(key) else "?")
        if withheld:
            line["withheld"] = withheld
        return json.dumps(line, allow_nan=False)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logging of this process to ``stream`` (standard error) as JSON lines.

    Raises:
        ConfigurationRefused: ``telemetry.bad_level``.
    """
    levels = {name: logging.getLevelNamesMapping()[name.upper()] for name in LEVELS}
    if level not in levels:
        raise ConfigurationRefused(
            "telemetry.bad_level",
            f"There is no log level {level!r}.",
            action=f"Choose one of {', '.join(LEVELS)}.",
        )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries: their warnings' places, no more
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):  # a library that set up its own way out has none
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    logging.getLogger("strongroom").setLevel(levels[level])
    logging.raiseExceptions = False  # or a broken pipe would print records with a traceback


LEVELS: Final = ("debug", "info", "warning", "error")


def _event(record: logging.LogRecord) -> dict[str, str]:
    ours = record.name.partition(".")[0] == "strongroom"
    text = record.msg
    if ours and not record.args and isinstance(text, str) and _EVENT.fullmatch(text):
        return {"event": text}
    return {"event": "log.unstructured", "at": f"{_plain(record.name)}:{record.lineno}"}


def _plain(name: str) -> str:
    return name if _NAME.fullmatch(name) else "?"


def _fits(key: str, value: object) -> bool:
    shape = FIELDS.get(key)
    if shape is None or isinstance(value, bool):
        return False
    if isinstance(shape, re.Pattern):
        return (
            isinstance(value, str)
            and shape.fullmatch(value) is not None
            and _SECRET.search(value) is None
        )
    if shape is float:
        return isinstance(value, int | float) and abs(value) < 1e15
    return isinstance(value, shape)


def _error(error: BaseException) -> str:
    """``Class at file.py:line``, of the innermost frame; our own errors say their code too."""
    shown = type(error).__name__
    if isinstance(error, StrongroomError) and _WORD.fullmatch(error.code):
        shown += f" {error.code}"
    place = _innermost(error.__traceback__)
    return f"{shown} at {place}" if place else shown


def _innermost(trace: TracebackType | None) -> str:
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
