"""Where requests and votes come in, are recorded, and are counted for key release.

1. Everything that comes in is judged as strictly as it will be when it counts (``tally``), so that
   who asks or votes learns of a mistake now.
2. What grants something is recorded before it is stored; a revocation is stored before it is
   recorded, so that a record which cannot be written does not keep it from working.
3. The answer to key release is counted anew each time, from the store's bytes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from strongroom.errors import KeyRefused, StrongroomError
from strongroom.ledger.entries import AnyEntry
from strongroom.ledger.release_entries import ApprovalGiven, ApprovalRequested, ApprovalRevoked
from strongroom.release.approvals import documents, tally
from strongroom.release.approvals.approvers import Approvers
from strongroom.release.approvals.documents import Request, Subject
from strongroom.release.approvals.reasons import refuse
from strongroom.release.approvals.tally import Tally
from strongroom.store.grants import GrantStore, StoredRequest, StoredVote

ACTION: Final = "release"


class Desk:
    """Takes requests and votes.

    Args:
        store: where they are kept.
        approvers: who may vote; from local configuration.
        record: appends to the ledger; durable when it returns.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: GrantStore,
        approvers: Approvers,
        record: Callable[[AnyEntry], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._approvers = approvers
        self._record = record
        self._clock = clock

    def request(
        self, subject: Subject, *, asked_by: str, reason: str, not_after: int
    ) -> StoredRequest:
        """Ask for approval of the release of ``subject`` until ``not_after`` (Unix seconds).

        Raises:
            KeyRefused: ``release.grant_malformed``, ``release.grant_reason``,
                ``release.grant_lifetime``.
            StrongroomError: the record's or the store's.
        """
        now = self._now()
        if not now < not_after <= now + documents.MAX_LIFETIME_SECONDS:
            raise _lifetime()
        request = Request(
            format="strongroom grant request v1",
            subject=subject,
            asked_by=asked_by,
            reason=reason,
            created=now,
            not_after=not_after,
            nonce=secrets.token_hex(16),
        )
        raw = documents.encode(request)
        stored = StoredRequest(documents.request_id(raw), subject.manifest, raw)
        self._record(
            ApprovalRequested(
                action=ACTION,
                subject_digest=documents.digest(raw),
                model=subject.model,
                release=subject.release,
                manifest_digest=subject.manifest,
                policy_digest=subject.policy,
                expires=not_after,
                by=asked_by,
                remark=reason,
            )
        )
        self._store.add_request(stored)
        return stored

    def find(self, request_id: str) -> StoredRequest:
        """The request that is kept under this id; ``release.grant_unknown``."""
        stored = self._store.request(request_id)
        if stored is None:
            raise refuse("release.grant_unknown", request=request_id)
        return stored

    def approve(self, vote: StoredVote) -> Tally:
        """Take an approval; the tally with it.

        Raises:
            KeyRefused: ``release.grant_unknown``, ``release.approver_twice``,
                ``release.grant_lifetime`` (it outlives the request's longest life), and the codes
                of ``tally.count`` and ``tally.check_approval``.
            StrongroomError: the record's or the store's.
        """
        now = self._now()
        stored = self.find(vote.request)
        request = tally.read(stored, now=now)
        self._count(stored, request.subject, now)
        approval = tally.check_approval(vote, stored, request, self._approvers, now)
        if any(cast.approver == approval.approver for cast in self._store.votes(stored.id)):
            raise refuse("release.approver_twice", approver=approval.approver)
        if approval.not_after > now + documents.MAX_LIFETIME_SECONDS:
            raise _lifetime()
        self._record(
            ApprovalGiven(
                approver=approval.approver,
                action=ACTION,
                subject_digest=approval.request,
                expires=min(approval.not_after, request.not_after),
                key_id=approval.key,
                remark=approval.reason,
            )
        )
        self._store.add_vote(vote)
        return self._count(stored, request.subject, now)

    def revoke(self, vote: StoredVote) -> None:
        """Take a revocation, which ends the request for good, also one that has ended.

        Raises:
            KeyRefused: ``release.grant_unknown`` and the codes of ``tally.check_revocation``.
            StrongroomError: the store's (``store.duplicate_vote`` too) or the record's.
        """
        stored = self.find(vote.request)
        revocation = tally.check_revocation(vote, stored, self._approvers)
        self._store.add_vote(vote)
        self._record(
            ApprovalRevoked(
                approver=revocation.approver,
                action=ACTION,
                subject_digest=revocation.request,
                key_id=revocation.key,
                remark=revocation.reason,
            )
        )

    def tally(self, stored: StoredRequest) -> Tally:
        """Who approved a request, for its own subject; the codes of ``tally.count``."""
        now = self._now()
        return self._count(stored, tally.read(stored, now=now).subject, now)

    def requests(self) -> tuple[StoredRequest, ...]:
        """All requests that are kept, oldest first."""
        return self._store.requests()

    def approved(self, subject: Subject, needed: int) -> Tally:
        """Rule 3: the request about ``subject`` that ``needed`` people approve, the longest.

        Approvals of different requests are never added up.

        Raises:
            KeyRefused: ``release.approvals_missing`` where a request is in force and too few
                approve it; else the code for which the newest request does not count.
            StrongroomError: the store's.
        """
        now = self._now()
        best: Tally | None = None
        refusal: StrongroomError = refuse("release.approvals_missing", counted=0, needed=needed)
        for stored in self._store.requests(subject.manifest):
            try:
                found = self._count(stored, subject, now)
            except KeyRefused as refused:
                refusal = refused
                continue
            rank = (found.until(needed), len(found.approvers))
            if best is None or rank > (best.until(needed), len(best.approvers)):
                best = found
        if best is None:
            raise refusal
        if len(best.approvers) < needed:
            raise refuse("release.approvals_missing", counted=len(best.approvers), needed=needed)
        return best

    def _count(self, stored: StoredRequest, subject: Subject, now: int) -> Tally:
        votes = self._store.votes(stored.id)
        return tally.count(stored, votes, subject=subject, approvers=self._approvers, now=now)

    def _now(self) -> int:
        return int(self._clock())


def _lifetime() -> StrongroomError:
    return refuse("release.grant_lifetime", days=documents.MAX_LIFETIME_SECONDS // (24 * 3600))
