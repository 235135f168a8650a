"""From the bytes in a store to the people whose approval counts now. Pure.

1. The request is in its exact form, its id is the one that it is kept under, and its end is not
   too far from its beginning.
2. It is about this very subject: model, release and manifest, policy.
3. It has begun and has not ended.
4. Nobody revoked it. What is kept as a revocation counts even if it cannot be verified: whoever
   damages one must not bring the approvals back, and whoever is taken off the list does not take
   their objection along.
5. An approval counts if it is in its exact form; names this request; names an approver whose key
   is on the local list; carries that key's signature; gives a reason; was made between the
   request's beginning and end and not in the future; and has not ended.
6. A person counts once.

An approval that does not count is passed over with its code, and does not keep another from
counting. Whether the people who remain are enough is for the policy to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.release.approvals import documents
from strongroom.release.approvals.approvers import Approvers
from strongroom.release.approvals.documents import Approval, Request, Revocation, Subject
from strongroom.release.approvals.reasons import refuse
from strongroom.store.grants import StoredRequest, StoredVote

CLOCK_SKEW_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Tally:
    """Who approved one request. ``ends`` are the ends of their approvals, in the same order.

    ``passed_over`` pairs the name that a vote claims with the code for which it does not count.
    """

    request: str
    approvers: tuple[str, ...]
    ends: tuple[int, ...]
    passed_over: tuple[tuple[str, str], ...]

    def until(self, needed: int) -> int:
        """Until when (Unix seconds) ``needed`` of them still count; 0 if they never did."""
        if not 0 < needed <= len(self.ends):
            return 0
        return sorted(self.ends, reverse=True)[needed - 1]


def read(stored: StoredRequest, *, now: int) -> Request:
    """Rules 1 and 3: the request that is kept, if it is in force.

    Raises:
        KeyRefused: ``release.grant_malformed``, ``release.grant_reason``,
            ``release.grant_lifetime``, ``release.grant_untimely``, ``release.grant_expired``.
    """
    if documents.request_id(stored.document) != stored.id:
        raise refuse("release.grant_malformed")
    request = documents.decode(stored.document, Request)
    if not 0 < request.not_after - request.created <= documents.MAX_LIFETIME_SECONDS:
        raise refuse("release.grant_lifetime", days=documents.MAX_LIFETIME_SECONDS // (24 * 3600))
    if request.created > now + CLOCK_SKEW_SECONDS:
        raise refuse("release.grant_untimely")
    if now >= request.not_after:
        raise refuse("release.grant_expired")
    return request


def count(
    stored: StoredRequest,
    votes: Sequence[StoredVote],
    *,
    subject: Subject,
    approvers: Approvers,
    now: int,
) -> Tally:
    """Rules 1 to 6.

    Args:
        stored: the request as it is kept.
        votes: all votes that are kept for it.
        subject: what is asked for now.
        approvers: who may approve.
        now: Unix seconds.

    Raises:
        KeyRefused: the codes of ``read``; ``release.grant_other_model``,
            ``release.grant_other_release``, ``release.grant_other_policy``;
            ``release.grant_revoked``.
    """
    request = read(stored, now=now)
    _require_subject(request.subject, subject)
    if any(vote.kind != "approval" for vote in votes):  # rule 4
        raise refuse("release.grant_revoked")
    counted: dict[str, int] = {}
    passed_over: list[tuple[str, str]] = []
    for vote in votes:
        try:
            approval = check_approval(vote, stored, request, approvers, now)
            if approval.approver in counted:  # rule 6
                raise refuse("release.approver_twice", approver=approval.approver)
        except StrongroomError as refusal:
            passed_over.append((vote.approver, refusal.code))
        else:
            counted[approval.approver] = min(approval.not_after, request.not_after)
    return Tally(stored.id, tuple(counted), tuple(counted.values()), tuple(passed_over))


def check_approval(
    vote: StoredVote, stored: StoredRequest, request: Request, approvers: Approvers, now: int
) -> Approval:
    """Rule 5.

    Raises:
        KeyRefused: ``release.grant_malformed``, ``release.grant_reason``,
            ``release.approval_other_request``, ``release.approver_unknown``,
            ``release.approval_signature``, ``release.approval_late``,
            ``release.approval_untimely``, ``release.approval_expired``.
    """
    approval = documents.decode(vote.document, Approval)
    _require_voter(vote, approval, stored, approvers)
    if approval.created >= request.not_after:
        raise refuse("release.approval_late")
    if (
        approval.created < request.created - CLOCK_SKEW_SECONDS
        or approval.created > now + CLOCK_SKEW_SECONDS
    ):
        raise refuse("release.approval_untimely")
    if now >= approval.not_after:
        raise refuse("release.approval_expired")
    return approval


def check_revocation(vote: StoredVote, stored: StoredRequest, approvers: Approvers) -> Revocation:
    """That a revocation which comes in is one: form, request, approver, signature.

    Raises:
        KeyRefused: ``release.grant_malformed``, ``release.grant_reason``,
            ``release.approval_other_request``, ``release.approver_unknown``,
            ``release.approval_signature``.
    """
    revocation = documents.decode(vote.document, Revocation)
    _require_voter(vote, revocation, stored, approvers)
    return revocation


def _require_voter(
    vote: StoredVote, said: Approval | Revocation, stored: StoredRequest, approvers: Approvers
) -> None:
    if said.request != documents.digest(stored.document):
        raise refuse("release.approval_other_request")
    approver = approvers.find(said.approver, said.key)
    if not documents.is_signed(said, vote.document, vote.signature, approver.public):
        raise refuse("release.approval_signature")


def _require_subject(said: Subject, wanted: Subject) -> None:
    """Rule 2."""
    if said.model != wanted.model:
        raise refuse("release.grant_other_model")
    if (said.release, said.manifest) != (wanted.release, wanted.manifest):
        raise refuse("release.grant_other_release")
    if said.policy != wanted.policy:
        raise refuse("release.grant_other_policy")
