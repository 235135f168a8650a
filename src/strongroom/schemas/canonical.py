"""Whether two texts are the same schema: order of members and white space do not count."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(schema: Any) -> str:
    """SHA-256, hex, of a decoded schema with its members sorted."""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
