"""The forms that members of entries may have; ``entries`` has the rules that they serve."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_ID = r"^[A-Za-z0-9][A-Za-z0-9._:/@+\-]*\Z"

Identifier = Annotated[str, Meta(max_length=128, pattern=_ID)]
OptionalIdentifier = Annotated[str, Meta(max_length=128, pattern=rf"^\Z|{_ID}")]
Organisation = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
OptionalOrganisation = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Code = Annotated[str, Meta(max_length=128, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*\Z")]
OptionalCode = Annotated[str, Meta(max_length=128, pattern=r"^\Z|^[a-z0-9_]+(\.[a-z0-9_]+)*\Z")]
Remark = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64}|[0-9a-f]{96})\Z")]
OptionalDigest = Annotated[str, Meta(pattern=r"^\Z|^([0-9a-f]{64}|[0-9a-f]{96})\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Resource = Annotated[str, Meta(max_length=40, pattern=r"^[a-z][a-z0-9_]*\Z")]
Counts = Annotated[dict[_Resource, Count], Meta(max_length=24)]
"""Resource to amount, such as a ``Cost`` as a dict: requests, input_tokens, compute_ms, ..."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag=True):
    """Base of all kinds; the member ``type`` names the kind."""
