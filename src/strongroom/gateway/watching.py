"""``[watching]`` in strongroom.toml: where operators look at a gateway, its log and its traces."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Name = Annotated[str, Meta(min_length=1, max_length=253)]


class Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where operators look. ``port`` 0 takes a free one.

    ``names`` are host names that the listener answers to besides addresses and localhost.
    ``traces`` is the URL of an OTLP collector, empty for none; ``trace_share`` how many of the
    requests are traced, 0 to 1.
    """

    host: _Name = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8081
    names: tuple[_Name, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    traces: Annotated[str, Meta(max_length=2048)] = ""
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
