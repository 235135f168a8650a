"""What ``serve`` needs, and warns of, before it starts anything."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from strongroom.cli import output
from strongroom.errors import EnvironmentLacks

if TYPE_CHECKING:
    from strongroom.cli.settings import Serving


def warn(serving: Serving) -> None:
    """What the operator should know before others can reach the door."""
    if not (_is_loopback(serving.host) or serving.tls_cert):
        output.note(
            f"Warning: {serving.host} can be reached from the network and the gateway speaks plain "
            "HTTP. Give --tls-cert and --tls-key, or put a proxy that terminates TLS in front."
        )
    if os.geteuid() == 0:
        output.note(
            "Warning: running as root. Keeper and gateway are children of root: make a user of "
            "their own for this service (docs/cli.md)."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_extra(needed: Sequence[str] = ("torch", "uvicorn", "tokenizers")) -> None:
    """Refuse, ``cli.missing_extra``, where packages for serving are missing."""
    from importlib.util import find_spec

    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise EnvironmentLacks(
            "cli.missing_extra",
            f"Serving needs packages that are not installed: {', '.join(missing)}.",
            action="Install strongroom with the extra: pip install 'strongroom[serve]'.",
        )
