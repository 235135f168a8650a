"""What an operator says about content: ``[content]`` of strongroom.toml. Empty by default."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One forbidden pattern.

    ``name``: shown to callers. ``pattern``: RE2 syntax of bounded length (see ``pattern_width``).
    ``whole_words``: only where no letter, digit or underscore stands before or after.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._\- ]+$")]
    pattern: Annotated[str, Meta(min_length=1, max_length=4096)]
    ignore_case: bool = True
    whole_words: bool = False
    input: bool = True
    output: bool = True


class Moderation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service that takes what OpenAI's moderation endpoint takes.

    ``url``: https, or http on a loopback address. ``token_file``: of mode 0600, holds the bearer
    token. ``seconds``: for one judgement, the connection included. ``segment``: characters of an
    answer that are judged together; ``overlap``: characters that are judged with what follows
    before they are shown.
    """

    url: Annotated[str, Meta(min_length=1, max_length=1024)]
    model: Annotated[str, Meta(max_length=128)] = ""
    token_file: Annotated[str, Meta(max_length=4096)] = ""
    seconds: Annotated[float, Meta(gt=0, le=30)] = 3.0
    segment: Annotated[int, Meta(ge=16, le=4096)] = 1024
    overlap: Annotated[int, Meta(ge=0, le=4096)] = 256
    input: bool = True
    output: bool = True


class ContentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules first, then the service; text passes only if both let it."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=10_000)] = ()
    moderation: Moderation | None = None
