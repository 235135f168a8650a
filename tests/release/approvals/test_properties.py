"""No sequence of calls with fewer than M distinct valid approvers allows a release.

A model of the rules that knows nothing of documents and signatures runs beside the desk: it says
who should count, and any disagreement, in either direction, fails.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from strongroom.errors import StrongroomError
from strongroom.release.approvals.approvers import Approvers
from strongroom.store.grants import StoredRequest

from .office import HOUR, SUBJECT, Office, key, make_office

PEOPLE = ("ada", "bob", "eve", "mallory")
SUBJECTS = (
    SUBJECT,
    msgspec.structs.replace(SUBJECT, policy="cc" * 32),
    msgspec.structs.replace(SUBJECT, release=4, manifest="dd" * 32),
)


class Approving(RuleBasedStateMachine):
    """People ask, approve, forge, revoke; approvers come and go; time passes."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.office: Office = make_office(Path(self.folder.name))
        self.about: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        self.approvals: dict[str, dict[str, int]] = {}
        self.revoked: set[str] = set()

    def teardown(self) -> None:
        self.office.store.close()
        self.folder.cleanup()

    @rule(target=requests, about=st.integers(0, 2), hours=st.integers(1, 6))
    def ask(self, about: int, hours: int) -> StoredRequest:
        request = self.office.ask(SUBJECTS[about], hours)
        self.about[request.id] = about
        self.ends[request.id] = self.office.now + hours * HOUR
        self.approvals[request.id] = {}
        return request

    @rule(request=requests, who=st.sampled_from(PEOPLE), hours=st.integers(1, 6))
    def approve(self, request: StoredRequest, who: str, hours: int) -> None:
        given = self.approvals[request.id]
        should = (
            who != "mallory"
            and who not in given
            and request.id not in self.revoked
            and self.office.now < self.ends[request.id]
        )
        try:
            self.office.approve(getattr(self.office, who), request, hours)
        except StrongroomError:
            assert not should
        else:
            assert should
            given[who] = min(self.office.now + hours * HOUR, self.ends[request.id])

    @rule(request=requests, who=st.sampled_from(PEOPLE[:3]))
    def forge(self, request: StoredRequest, who: str) -> None:
        """Somebody signs in another's name, with a key of their own; it gets into the store."""
        vote = key(who).approve(
            request.document,
            reason="x",
            created=self.office.now,
            not_after=self.office.now + HOUR,
        )
        if who not in {cast.approver for cast in self.office.store.votes(request.id)}:
            self.office.store.add_vote(vote)
            self.approvals[request.id].setdefault(who, 0)  # it blocks that name, and counts nothing

    @rule(request=requests, who=st.sampled_from(PEOPLE))
    def revoke(self, request: StoredRequest, who: str) -> None:
        try:
            self.office.revoke(getattr(self.office, who), request)
        except StrongroomError:
            assert who == "mallory" or request.id in self.revoked
        else:
            assert who != "mallory"
            self.revoked.add(request.id)

    @rule(minutes=st.integers(1, 150))
    def wait(self, minutes: int) -> None:
        self.office.now += 60 * minutes

    @invariant()
    def as_many_as_the_model_says(self) -> None:
        now = self.office.now
        for about, subject in enumerate(SUBJECTS):
            alive = [
                sum(end > now for end in given.values())
                for request, given in self.approvals.items()
                if self.about[request] == about
                and request not in self.revoked
                and now < self.ends[request]
            ]
            for needed in (1, 2, 3):
                try:
                    found = self.office.desk.approved(subject, needed)
                except StrongroomError:
                    assert max(alive, default=0) < needed
                else:
                    assert len(set(found.approvers)) >= needed
                    assert max(alive) >= needed
                    assert found.until(needed) > now

    @invariant()
    def nobody_listed_nobody_counts(self) -> None:
        desk = self.office.open(Approvers(()))
        for subject in SUBJECTS:
            try:
                desk.approved(subject, 1)
            except StrongroomError:
                continue
            raise AssertionError("an empty list of approvers let something through")


TestApproving = Approving.TestCase
TestApproving.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
