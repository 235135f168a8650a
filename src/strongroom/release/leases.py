"""The terms of a lease, from the policy, the approvals behind it, and the service's time. Pure."""

from __future__ import annotations

from strongroom.release.messages import Lease
from strongroom.release.policies.document import Leasing


def lease(terms: Leasing, now: int, until: int | None = None) -> Lease:
    """The lease that begins now.

    It ends no later than the approvals that it rests on; what is cut off is taken from both parts
    of it, so that there is time left to attest again, in vain or not.

    Args:
        terms: the policy's.
        now: Unix seconds.
        until: when the approvals end, if any were needed.
    """
    seconds = terms.seconds if until is None else min(terms.seconds, until - now)
    grace = terms.grace * seconds // terms.seconds
    return Lease(issued_at=now, not_after=now + seconds, renew_before=now + seconds - grace)
