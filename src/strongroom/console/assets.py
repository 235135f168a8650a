"""The files that pages load: our stylesheet and icon, and htmx from an installed package.

htmx is not ours to commit. The package ``django-js-lib-htmx`` carries it as a file (it has no
dependencies, and nothing of it is imported). The file is served only if it is, byte for byte, the
``htmx.min.js`` of htmx's own release 2.0.3; so neither that package nor whoever can write to it
gets a script into an operator's browser. Without it the pages work, and reload as a whole.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

HTMX_SHA256: Final = "491955cd1810747d7d7b9ccb936400afb760e06d25d53e4572b64b6563b2784e"
_STATIC: Final = Path(__file__).with_name("static")
_log: Final = logging.getLogger("strongroom.console")


@dataclass(frozen=True)
class Asset:
    """A file to serve; ``tag`` is its strong entity tag."""

    kind: str
    content: bytes

    @property
    def tag(self) -> str:
        """Changes when the content does."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def load() -> dict[str, Asset]:
    """Every asset by its path. ``/assets/htmx.js`` is missing where the package is, or differs."""
    assets = {
        "/assets/console.css": Asset("text/css; charset=utf-8", _own("console.css")),
        "/assets/icon.svg": Asset("image/svg+xml", _own("icon.svg")),
    }
    htmx = _htmx()
    if htmx is not None:
        assets["/assets/htmx.js"] = Asset("text/javascript; charset=utf-8", htmx)
    return assets


def _own(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def _htmx() -> bytes | None:
    found = find_spec("js_lib_htmx")  # finds without importing
    if found is None or found.origin is None:
        _log.warning("console.htmx_missing")
        return None
    try:
        content = (Path(found.origin).parent / "static" / "htmx" / "htmx.min.js").read_bytes()
    except OSError:
        _log.warning("console.htmx_missing")
        return None
    if not hmac.compare_digest(hashlib.sha256(content).hexdigest(), HTMX_SHA256):
        _log.error("console.htmx_altered")
        return None
    return content
