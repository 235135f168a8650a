"""Which characters text from a caller may hold.

Refused are those that show nothing, or show another thing than a model reads: control characters
but tab, newline and return; the tag characters, which spell out hidden instructions; the
controls of writing direction, which make a reader see another order.
"""

from __future__ import annotations

import re

from strongroom.gateway.refusals import Refusal

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls, DEL
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\ud800-\udfff"  # lone surrogates
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
    "\U000e0000-\U000e007f]"  # tag characters
)


def check_text(text: str, param: str) -> None:
    """Refuse text with a forbidden character: 400 ``gateway.forbidden_character``."""
    found = _FORBIDDEN.search(text)
    if found is not None:
        raise Refusal(
            "gateway.forbidden_character",
            f"`{param}` holds U+{ord(found[0]):04X}, which is not accepted in text.",
            action="Remove control, tag and bidirectional characters.",
            param=param,
        )
