"""The time that a person names on the command line, such as ``--at``."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click


def seconds(text: str | None) -> int:
    """Unix seconds of ISO 8601 (UTC unless it says otherwise) or of a number; None means now.

    Raises:
        click.UsageError: ``text`` is neither.
    """
    if text is None:
        return int(time.time())
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is neither ISO 8601 nor Unix seconds.") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
