"""Each way in which an approval must not count, with its code; and the way in which it must."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import LedgerRefused, StrongroomError
from strongroom.ledger.release_entries import ApprovalGiven, ApprovalRequested, ApprovalRevoked
from strongroom.release.approvals import documents
from strongroom.release.approvals.approvers import Approver, Approvers
from strongroom.release.approvals.documents import Approval, Subject
from strongroom.store.grants import StoredRequest, StoredVote

from .office import HOUR, SUBJECT, Office, key, tamper


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(StrongroomError) as refused:
        action()
    return refused.value.code


def other(**changes: object) -> Subject:
    return msgspec.structs.replace(SUBJECT, **changes)


def approved_by_two(office: Office) -> StoredRequest:
    request = office.ask()
    office.approve(office.ada, request)
    office.approve(office.bob, request)
    return request


def test_two_people_are_two_approvals(office: Office) -> None:
    request = approved_by_two(office)
    found = office.desk.approved(SUBJECT, 2)
    assert (found.request, found.approvers) == (request.id, ("ada", "bob"))
    assert found.until(2) == office.now + 8 * HOUR
    assert found.until(3) == 0


def test_each_step_is_in_the_record_without_any_secret(office: Office) -> None:
    request = approved_by_two(office)
    office.revoke(office.eve, request)
    kinds = [type(entry) for entry in office.recorded]
    assert kinds == [ApprovalRequested, ApprovalGiven, ApprovalGiven, ApprovalRevoked]
    asked, given, *_ = office.recorded
    assert isinstance(asked, ApprovalRequested)
    assert isinstance(given, ApprovalGiven)
    assert asked.subject_digest == given.subject_digest == documents.digest(request.document)
    assert (asked.model, asked.release, asked.by) == ("acme/llama", 3, "cli:op")
    assert given.key_id == office.ada.approver.key_id
    assert given.remark == "reviewed"


def test_too_few(office: Office) -> None:
    request = office.ask()
    assert code_of(lambda: office.desk.approved(SUBJECT, 1)) == "release.approvals_missing"
    office.approve(office.ada, request)
    assert office.desk.approved(SUBJECT, 1).approvers == ("ada",)
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.approvals_missing"


def test_the_same_person_twice(office: Office) -> None:
    request = office.ask()
    office.approve(office.ada, request)
    assert code_of(lambda: office.approve(office.ada, request)) == "release.approver_twice"


def test_approvals_of_two_requests_are_not_added_up(office: Office) -> None:
    office.approve(office.ada, office.ask())
    office.approve(office.bob, office.ask())
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.approvals_missing"


def test_an_unknown_key(office: Office) -> None:
    request = office.ask()
    assert code_of(lambda: office.approve(office.mallory, request)) == "release.approver_unknown"


def test_a_known_name_with_another_key(office: Office) -> None:
    request = office.ask()
    assert code_of(lambda: office.approve(key("ada"), request)) == "release.approver_unknown"


def test_a_signature_by_somebody_else(office: Office) -> None:
    request = office.ask()
    given = {"reason": "reviewed", "created": office.now, "not_after": office.now + HOUR}
    mine = office.mallory.approve(request.document, **given)
    theirs = office.ada.approve(request.document, **given)
    forged = dataclasses.replace(theirs, signature=mine.signature)
    assert code_of(lambda: office.desk.approve(forged)) == "release.approval_signature"
    assert office.desk.approve(theirs).approvers == ("ada",)


def test_a_revocation_is_no_approval(office: Office) -> None:
    """The same key signs both; the label keeps one from being read as the other."""
    request = office.ask()
    revocation = office.ada.revoke(request.document, reason="stop", created=office.now)
    disguised = dataclasses.replace(revocation, kind="approval")
    assert code_of(lambda: office.desk.approve(disguised)) == "release.grant_malformed"
    approval = Approval(
        format="strongroom grant approval v1",
        request=documents.digest(request.document),
        approver="ada",
        key=office.ada.approver.key_id,
        reason="stop",
        created=office.now,
        not_after=office.now + HOUR,
    )
    raw = documents.encode(approval)
    wrong = office.ada._private.sign(documents.REVOCATION_LABEL + raw)
    vote = StoredVote(request.id, "ada", "approval", raw, wrong)
    assert code_of(lambda: office.desk.approve(vote)) == "release.approval_signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": "acme/other"}, "release.grant_other_model"),
        ({"release": 4}, "release.grant_other_release"),
        ({"policy": "cc" * 32}, "release.grant_other_policy"),
    ],
)
def test_for_something_else(office: Office, changes: dict[str, object], code: str) -> None:
    approved_by_two(office)
    assert code_of(lambda: office.desk.approved(other(**changes), 2)) == code


def test_for_another_manifest_nothing_was_ever_asked(office: Office, tmp_path: Path) -> None:
    approved_by_two(office)
    wanted = other(manifest="dd" * 32)
    assert code_of(lambda: office.desk.approved(wanted, 2)) == "release.approvals_missing"
    # Not even if somebody files the request under the other manifest.
    tamper(tmp_path, "UPDATE grant_requests SET manifest = ?", wanted.manifest)
    assert code_of(lambda: office.desk.approved(wanted, 2)) == "release.grant_other_release"


def test_after_the_approvals_ended(office: Office) -> None:
    request = office.ask(hours=8)
    office.approve(office.ada, request, hours=8)
    office.approve(office.bob, request, hours=1)
    assert office.desk.approved(SUBJECT, 2).until(2) == office.now + HOUR
    office.now += HOUR - 1
    assert office.desk.approved(SUBJECT, 2).approvers == ("ada", "bob")
    office.now += 1
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.approvals_missing"
    assert office.desk.tally(request).passed_over == (("bob", "release.approval_expired"),)


def test_after_the_request_ended(office: Office) -> None:
    request = approved_by_two(office)
    office.now += 8 * HOUR
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.grant_expired"
    assert code_of(lambda: office.approve(office.eve, request)) == "release.grant_expired"


def test_an_approval_never_outlives_its_request(office: Office) -> None:
    request = office.ask(hours=1)
    assert office.approve(office.ada, request, hours=24).until(1) == office.now + HOUR


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (8 * HOUR, "release.approval_late"),
        (-HOUR, "release.approval_untimely"),
        (HOUR, "release.approval_untimely"),
    ],
)
def test_made_at_another_time(office: Office, made: int, code: str) -> None:
    request = office.ask()
    vote = office.ada.approve(
        request.document,
        reason="reviewed",
        created=office.now + made,
        not_after=office.now + 9 * HOUR,
    )
    assert code_of(lambda: office.desk.approve(vote)) == code


def test_anybody_on_the_list_ends_a_request_for_good(office: Office) -> None:
    request = approved_by_two(office)
    assert code_of(lambda: office.revoke(office.mallory, request)) == "release.approver_unknown"
    assert office.desk.approved(SUBJECT, 2)
    office.revoke(office.eve, request)
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.grant_revoked"
    assert code_of(lambda: office.approve(office.eve, request)) == "release.grant_revoked"


def test_an_objection_outlives_its_damage_and_its_author(office: Office, tmp_path: Path) -> None:
    request = approved_by_two(office)
    office.revoke(office.eve, request)
    without_eve = office.open(Approvers(office.listed[:2]))
    assert code_of(lambda: without_eve.approved(SUBJECT, 2)) == "release.grant_revoked"
    spoil = "UPDATE grant_votes SET signature = x'00' WHERE kind = 'revocation'"
    tamper(tmp_path, spoil)
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.grant_revoked"


def test_whoever_is_taken_off_the_list_counts_no_more(office: Office) -> None:
    approved_by_two(office)
    only_ada = office.open(Approvers(office.listed[:1]))
    assert code_of(lambda: only_ada.approved(SUBJECT, 2)) == "release.approvals_missing"


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "\x1b[31mred"])
def test_without_a_reason(office: Office, reason: str) -> None:
    request = office.ask()
    late = office.now + HOUR
    made = {"created": office.now, "reason": reason}
    calls: list[Callable[[], object]] = [
        lambda: office.desk.request(SUBJECT, asked_by="cli:op", reason=reason, not_after=late),
        lambda: office.ada.approve(request.document, not_after=late, **made),
        lambda: office.ada.revoke(request.document, **made),
    ]
    assert [code_of(call) for call in calls] == ["release.grant_reason"] * 3
    assert len(office.recorded) == 1


@pytest.mark.parametrize("hours", [0, -1, 91 * 24])
def test_an_end_that_is_none(office: Office, hours: int) -> None:
    assert code_of(lambda: office.ask(hours=hours)) == "release.grant_lifetime"
    assert not office.recorded


def test_a_store_that_was_written_to_gives_nobody_an_approval(
    office: Office, tmp_path: Path
) -> None:
    request = approved_by_two(office)
    wanted = other(release=4)
    raw = request.document.replace(b'"release":3', b'"release":4')
    assert raw != request.document
    tamper(tmp_path, "UPDATE grant_requests SET document = ?", raw)
    assert code_of(lambda: office.desk.approved(wanted, 2)) == "release.grant_malformed"
    # With an id that fits the text, too, no vote was cast on it.
    new_id = documents.request_id(raw)
    tamper(tmp_path, "INSERT INTO grant_requests VALUES (7, ?, ?, ?)", new_id, "aa" * 32, raw)
    tamper(tmp_path, "UPDATE grant_votes SET request = ?", new_id)
    assert code_of(lambda: office.desk.approved(wanted, 2)) == "release.approvals_missing"
    moved = office.desk.tally(office.desk.find(new_id))
    assert {code for _, code in moved.passed_over} == {"release.approval_other_request"}


def test_a_vote_filed_twice_counts_once(office: Office, tmp_path: Path) -> None:
    request = office.ask()
    office.approve(office.ada, request)
    copy = (
        "INSERT INTO grant_votes SELECT place + 1, request, 'bob', kind, document, signature "
        "FROM grant_votes"
    )
    tamper(tmp_path, copy)
    assert office.desk.tally(request).passed_over == (("bob", "release.approver_twice"),)
    assert code_of(lambda: office.desk.approved(SUBJECT, 2)) == "release.approvals_missing"


def test_nothing_is_granted_that_cannot_be_recorded(office: Office) -> None:
    request = office.ask()

    def fail(_entry: object) -> None:
        raise LedgerRefused("ledger.bad_entry", "No.", action="None.")

    office.record = fail  # type: ignore[method-assign]
    office.desk = office.open()
    assert code_of(lambda: office.approve(office.ada, request)) == "ledger.bad_entry"
    assert code_of(lambda: office.desk.approved(SUBJECT, 1)) == "release.approvals_missing"
    # A revocation works all the same.
    assert code_of(lambda: office.revoke(office.ada, request)) == "ledger.bad_entry"
    assert code_of(lambda: office.desk.approved(SUBJECT, 1)) == "release.grant_revoked"


def test_two_approvers_cannot_share_a_name_or_a_key() -> None:
    ada, bob = key("ada").approver, key("bob").approver
    for second in (Approver("ADA", bob.public), Approver("bob", ada.public)):
        assert code_of(lambda s=second: Approvers([ada, s])) == "release.approvers_malformed"
    assert len(Approvers([ada, bob])) == 2


@pytest.mark.parametrize("position", range(0, 350, 7))
def test_every_byte_of_a_vote_counts(office: Office, position: int) -> None:
    request = office.ask()
    vote = office.ada.approve(
        request.document, reason="reviewed", created=office.now, not_after=office.now + HOUR
    )
    raw = bytearray(vote.document)
    raw[position % len(raw)] ^= 1
    with pytest.raises(StrongroomError):
        office.desk.approve(dataclasses.replace(vote, document=bytes(raw)))
