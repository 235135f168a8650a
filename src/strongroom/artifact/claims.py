"""What the owner claims of a release, checked before any work is done for it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from strongroom.artifact import canonical
from strongroom.artifact.manifest import Hex64, ModelId, Natural, Time, timestamp
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.reasons import refuse
from strongroom.errors import StrongroomError


class Claims(msgspec.Struct, frozen=True):
    """The manifest's fields that come from the owner."""

    model_id: ModelId
    release: Natural
    created: Time
    not_after: Time | None
    previous: Hex64 | None


def make_claims(
    model_id: str,
    release: int,
    policy: DisclosurePolicy,
    previous: str | None,
    not_after: datetime | None,
) -> Claims:
    """The claims for a release made now; ``artifact.bad_argument`` names what is not acceptable."""
    if not_after is not None and not_after.tzinfo is None:
        raise refuse("artifact.bad_argument", name="not_after", problem="it has no time zone")
    fields = {
        "model_id": model_id,
        "release": release,
        "created": timestamp(datetime.now(UTC)),
        "not_after": None if not_after is None else timestamp(not_after),
        "previous": previous,
    }
    try:
        claims = msgspec.convert(fields, Claims)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        name = path.strip("`$.") or "a claim"
        raise refuse("artifact.bad_argument", name=name, problem=problem) from None
    try:
        canonical.decode(canonical.encode(policy), DisclosurePolicy, "policy")
    except StrongroomError:
        problem = "a tenant's name, a rung or a ceiling is out of bounds"
        raise refuse("artifact.bad_argument", name="policy", problem=problem) from None
    return claims
