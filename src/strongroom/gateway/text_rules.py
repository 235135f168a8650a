"""Which characters text from a caller may hold.

Judged are those that show nothing, or show another thing than a model reads: control characters but
tab, newline and return; tag characters, which spell hidden instructions; controls of writing
direction, which make a reader see another order; characters without width, which carry hidden bits.
A character without width stays where a script cannot do without it: ``_NEEDED`` is the list.

Noncharacters and lone surrogates are never text and always refused.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, Literal

import msgspec

from strongroom.gateway.refusals import Refusal

Handling = Literal["refuse", "strip", "allow"]

MOST_STRIPPED: Final = 4096
"""Characters that are stripped from one text; with more it is refused."""


class TextPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about each kind of character, and who may speak.

    ``zero_width`` is about those that no script needs where they stand. Controls cannot be
    allowed. ``system_role`` covers ``developer``, which means the same.
    """

    controls: Literal["refuse", "strip"] = "refuse"
    tags: Handling = "refuse"
    bidi: Handling = "refuse"
    zero_width: Handling = "refuse"
    system_role: Literal["allow", "refuse"] = "allow"


_NEVER: Final = "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_CONTROLS: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_TAGS: Final = "\U000e0000-\U000e007f"
_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_ZERO_WIDTH: Final = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0100-\U000e01ef"
)

_JOINING: Final = (  # Arabic to Mandaic, the Indic scripts, Tibetan, Khmer, Mongolian, and so on
    "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1b7f\ua800-\uaaff"
    "\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
_UNSPACED: Final = "\u0e00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua980-\ua9df\uaa60-\uaa7f"
_EMOJI: Final = "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299" + (
    "\U0001f000-\U0001faff"
)
_IDEOGRAPHS: Final = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_NEEDED: Final = "".join(
    f"(?<!{form})"
    for form in (
        f"[{_JOINING}][\u200c\u200d]",  # the shape of letters
        f"[{_EMOJI}]\u200d(?=[{_EMOJI}])",  # pictures made of several
        f"[{_EMOJI}]\ufe0f\u200d(?=[{_EMOJI}])",
        f"[{_EMOJI}#*0-9][\ufe0e\ufe0f]",  # picture or sign; the bases of key caps
        f"[{_IDEOGRAPHS}][\ufe00-\ufe02\U000e0100-\U000e01ef]",  # the form of an ideograph
        "[\u1820-\u18aa][\u180b-\u180f]",  # the form of a Mongolian letter
        f"[{_UNSPACED}]\u200b",  # where a line may break in scripts without spaces
    )
)
"""Stands behind a character: not if it came in one of these places."""

_PLAIN: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
_SUSPECT: Final = re.compile(f"[{_NEVER}{_CONTROLS}{_TAGS}{_BIDI}{_ZERO_WIDTH}]")


def clean_text(text: str, param: str, policy: TextPolicy) -> str:
    """``text`` as ``policy`` lets it pass: unchanged, or without what is stripped.

    Raises:
        Refusal: 400 ``gateway.forbidden_character``.
    """
    # Most text has nothing to judge, and bytes tell so several times faster than expressions do.
    rest = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN)
    suspect = _SUSPECT.search(rest.decode("utf-8", "surrogatepass")) if rest else None
    if suspect is None:
        return text
    refused, stripped = _expressions(policy)
    found = refused.search(text, text.index(suspect[0]))
    if found is None and stripped is not None:
        text = stripped.sub("", text, count=MOST_STRIPPED)
        found = stripped.search(text)
    if found is not None:
        raise Refusal(
            "gateway.forbidden_character",
            f"`{param}` holds U+{ord(found[0]):04X}, which is not accepted in text.",
            action="Remove control, tag, bidirectional and zero-width characters.",
            param=param,
        )
    return text


@cache
def _expressions(policy: TextPolicy) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    """What finds a character to refuse, and one to strip if any is stripped.

    Each begins with one class of characters: that is what makes the search fast.
    """
    kinds = (
        (policy.controls, _CONTROLS),
        (policy.tags, _TAGS),
        (policy.bidi, _BIDI),
        (policy.zero_width, _ZERO_WIDTH),
    )
    refused = _NEVER + "".join(found for handling, found in kinds if handling == "refuse")
    stripped = "".join(found for handling, found in kinds if handling == "strip")
    compiled = re.compile(f"[{refused}]{_NEEDED}")
    return compiled, re.compile(f"[{stripped}]{_NEEDED}") if stripped else None
