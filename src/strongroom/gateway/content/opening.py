"""From the configuration to a policy: none, one, or several of which all must let text pass."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.content.blocklist import Blocklist
from strongroom.gateway.content.config import ContentConfig
from strongroom.gateway.content.interface import ContentPolicy, Scan
from strongroom.gateway.content.moderation_http import HttpModeration


def open_policy(config: ContentConfig) -> ContentPolicy | None:
    """The policy that ``config`` describes.

    Raises:
        ConfigurationRefused: ``gateway.content_pattern``, ``gateway.content_service``.
        EnvironmentLacks: ``gateway.content_needs_re2``.
    """
    policies: list[ContentPolicy] = []
    if config.rules:
        policies.append(Blocklist(config.rules))
    if config.moderation is not None:
        token = _token(config.moderation.token_file)
        policies.append(HttpModeration(config.moderation, token))
    if len(policies) > 1:
        return All(policies)
    return policies[0] if policies else None


class All(ContentPolicy):
    """Several policies, each of which sees only what those before it let pass."""

    def __init__(self, policies: Sequence[ContentPolicy]) -> None:
        self._policies = tuple(policies)

    async def check_input(self, text: str) -> None:
        """See ``ContentPolicy``."""
        for policy in self._policies:
            await policy.check_input(text)

    def output(self) -> Scan:
        """See ``ContentPolicy``."""
        return _Chain([policy.output() for policy in self._policies])


class _Chain(Scan):
    def __init__(self, scans: Sequence[Scan]) -> None:
        self._scans = scans
        self.held_limit = sum(scan.held_limit for scan in scans)

    async def push(self, text: str) -> str:
        for scan in self._scans:
            text = await scan.push(text)
        return text

    async def finish(self) -> str:
        text = ""
        for scan in self._scans:
            text = await scan.push(text) + await scan.finish()
        return text


def _token(path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4097)
    except OSError as error:
        raise _bad_token(f"cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise _bad_token("can be read by other users")
    token = content.decode("ascii", "replace").strip()
    if not token or len(content) > 4096 or "\ufffd" in token:
        raise _bad_token("does not hold one token")
    return token


def _bad_token(reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.content_service",
        f"The moderation service's token file {reason}.",
        action="Put the token, and nothing else, into a file of mode 0600.",
    )
