"""The disclosure policy that the owner seals with the model.

It says how much of the model an outsider may hold: the rung of the exposure ladder that each
tenant gets, and ceilings on the bits that may leave. It is sealed in the index, and its digest
stands in the signed manifest, so neither a gateway nor a key holder can loosen it. The keeper
enforces the lesser of these ceilings and its own configuration.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact import canonical

Rung = Literal["closed", "label", "text", "top1", "topk", "logits", "embeddings"]
"""Rungs of the exposure ladder that a keeper can serve, least first."""

Tenant = Annotated[str, Meta(pattern=r"\A(\*|[A-Za-z0-9][A-Za-z0-9._@-]{0,127})\Z")]
Bits = Annotated[int, Meta(ge=0, le=canonical.MAX_INTEGER)]


class EgressCeiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Most bits that answers may carry in a sliding hour and day; zero means none at all."""

    bits_per_hour: Bits
    bits_per_day: Bits


def _text_for_all() -> dict[Tenant, Rung]:
    return {"*": "text"}


class DisclosurePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tenant to rung (``*`` stands for all others; absent means ``closed``), and ceilings.

    ``deployment`` caps all answers together, ``tenant`` those of any one tenant; ``None`` leaves
    the cap to the keeper's own configuration.
    """

    rungs: Annotated[dict[Tenant, Rung], Meta(max_length=4096)] = msgspec.field(
        default_factory=_text_for_all
    )
    deployment: EgressCeiling | None = None
    tenant: EgressCeiling | None = None

    def rung_for(self, tenant: str) -> Rung:
        """The rung that ``tenant`` gets; ``closed`` where nothing grants more."""
        return self.rungs.get(tenant, self.rungs.get("*", "closed"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical policy, hex."""
        return hashlib.sha256(canonical.encode(self)).hexdigest()
