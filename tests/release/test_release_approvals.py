"""Approvals on the native wire: whom the service believes, and what they do to the lease.

The people's keys, the store and the desk are real ones; numbers are of ``spec/release-v1.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from release_desk import MANIFEST, MODEL, RELEASE, Desk, code_of, make_desk

from strongroom.release.approvals.approvers import Approvers
from strongroom.release.approvals.documents import Subject
from strongroom.release.evidence import running_measurement
from strongroom.release.policies.document import Allowed, Document, Image, template
from strongroom.release.policies.engine import Engine
from tests.release.approvals.office import HOUR, Office, make_office, tamper

IMAGE = Image("keeper", "local", {"code": running_measurement()})
POLICY = Document("dev", template("dev"), Allowed(approvals=2), (IMAGE,), {})
SUBJECT = Subject(MODEL, RELEASE, MANIFEST, Engine(POLICY).digest)


class Both:
    """An office, and a key release that counts there, on one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.office: Office = make_office(folder)
        self.release: Desk = make_desk(
            folder,
            policy=POLICY,
            now=float(self.office.now),
            approvals=lambda subject, needed: self.office.desk.approved(subject, needed),
        )

    def later(self, seconds: int) -> None:
        self.office.now += seconds
        self.release.now += seconds

    def code(self, **changes: object) -> str:
        return code_of(lambda: self.release.obtain(self.release.requester(**changes)))


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def test_two_people_release_it_and_the_record_names_them(both: Both) -> None:
    asked = both.office.ask(SUBJECT)
    both.office.approve(both.office.ada, asked, hours=8)
    assert both.code() == "release.approvals_missing"
    both.office.approve(both.office.bob, asked, hours=2)
    grant = both.release.obtain()
    record = both.release.records[-1]
    assert (record.grant, record.approvers) == (asked.id, ("ada", "bob"))
    # R7.3: the key is leased no longer than the approvals last.
    assert grant.lease.not_after == both.office.now + 2 * HOUR
    assert grant.lease.renew_before < grant.lease.not_after


def _nobody(both: Both) -> None:
    """No request at all."""


def _one_twice(both: Both) -> None:
    asked = both.office.ask(SUBJECT)
    both.office.approve(both.office.ada, asked)
    both.office.now += 1
    assert code_of(lambda: both.office.approve(both.office.ada, asked)) == "release.approver_twice"


def _stranger(both: Both) -> None:
    asked = both.office.ask(SUBJECT)
    both.office.approve(both.office.ada, asked)
    vote = both.office.mallory.approve(
        asked.document, reason="me too", created=both.office.now, not_after=both.office.now + HOUR
    )
    both.office.store.add_vote(vote)  # past the desk, straight into the store


def _two_requests(both: Both) -> None:
    both.office.approve(both.office.ada, both.office.ask(SUBJECT))
    both.office.approve(both.office.bob, both.office.ask(SUBJECT))


def _approved(both: Both, subject: Subject = SUBJECT) -> str:
    asked = both.office.ask(subject)
    both.office.approve(both.office.ada, asked)
    both.office.approve(both.office.bob, asked)
    return asked.id


def _other(**changes: object) -> Callable[[Both], None]:
    return lambda both: (_approved(both, msgspec.structs.replace(SUBJECT, **changes)), None)[1]


def _revoked(both: Both) -> None:
    request = both.office.desk.find(_approved(both))
    both.office.revoke(both.office.eve, request)


def _expired(both: Both) -> None:
    _approved(both)
    both.later(9 * HOUR)


def _stored_by_hand(both: Both) -> None:
    _approved(both)
    tamper(both.folder, "UPDATE grant_requests SET document = ?", b"{}")


def _taken_off_the_list(both: Both) -> None:
    _approved(both)
    both.office.desk = both.office.open(Approvers(both.office.listed[:1]))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (_nobody, "release.approvals_missing"),
        (_one_twice, "release.approvals_missing"),
        (_stranger, "release.approvals_missing"),
        (_two_requests, "release.approvals_missing"),
        (_taken_off_the_list, "release.approvals_missing"),
        (_other(model="acme/other"), "release.grant_other_model"),
        (_other(release=2), "release.grant_other_release"),
        (_other(manifest="00" * 32), "release.approvals_missing"),
        (_other(policy="00" * 32), "release.grant_other_policy"),
        (_revoked, "release.grant_revoked"),
        (_expired, "release.grant_expired"),
        (_stored_by_hand, "release.grant_malformed"),
    ],
)
def test_without_them_nothing_is_released(
    both: Both, attack: Callable[[Both], None], code: str
) -> None:
    attack(both)
    assert both.code() == code
    assert both.release.records[-1].reason == code
    assert both.release.records[-1].grant == ""


def test_a_workload_cannot_borrow_the_approvals_of_another_release(both: Both) -> None:
    _approved(both)
    assert both.code(release=4) == "release.grant_other_release"
    assert both.code(model="acme/other") == "release.grant_other_model"
    assert both.code(manifest_digest="00" * 32) == "release.approvals_missing"
    both.release.obtain()


def test_where_nobody_counts_the_policy_denies(both: Both) -> None:
    _approved(both)
    both.release.approvals = None
    both.release.__post_init__()
    assert both.code() == "release.denied"
