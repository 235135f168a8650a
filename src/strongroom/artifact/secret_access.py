"""The capability to touch secret bytes.

Whoever reads a data key must import ``TOKEN`` from here, so that every such place can be found by
searching for this module's name. Nothing else re-exports it (a test holds that).
"""

from __future__ import annotations


class SecretAccess:
    """Marker type; only ``TOKEN`` is accepted."""

    __slots__ = ()


TOKEN = SecretAccess()
