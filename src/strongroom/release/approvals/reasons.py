"""Why a request for approval or a vote is refused: every code, its sentence and its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.errors import ConfigurationRefused, KeyRefused, StrongroomError


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: stable code, sentence with ``{places}``, remedy, and the class it is raised as."""

    code: str
    sentence: str
    action: str
    kind: type[StrongroomError] = KeyRefused


_ANEW = "Make a new request with `strongroom grant request`, and have it approved."

_ROWS: Final = (
    Reason(
        "release.grant_malformed",
        "The request for approval or the vote is not in its exact form.",
        "Use the same version of strongroom; treat the store as tampered with if it did this.",
    ),
    Reason(
        "release.grant_unknown",
        "There is no request for approval {request}.",
        "List those there are with `strongroom grant list`.",
    ),
    Reason(
        "release.grant_reason",
        "No reason is given.",
        "Say in one line, of printable text, why this should be.",
    ),
    Reason(
        "release.grant_lifetime",
        "The end lies in the past, or more than {days} days ahead.",
        "Choose an end within that time.",
    ),
    Reason("release.grant_expired", "The request for approval has ended.", _ANEW),
    Reason(
        "release.grant_untimely",
        "The request for approval says that it is made in the future.",
        "Set the clocks right.",
    ),
    Reason("release.grant_revoked", "An approver has revoked this request.", _ANEW),
    Reason("release.grant_other_model", "The approvals are for another model.", _ANEW),
    Reason("release.grant_other_release", "The approvals are for another release.", _ANEW),
    Reason("release.grant_other_policy", "The approvals are for another policy.", _ANEW),
    Reason(
        "release.approver_unknown",
        "The vote names nobody who may approve here, or another key than theirs.",
        "Add the approver to trust/approvers.toml if they should be; then have them vote again.",
    ),
    Reason(
        "release.approver_twice",
        "{approver} has approved this request already; one person counts once.",
        "Ask somebody else who is listed in trust/approvers.toml.",
    ),
    Reason(
        "release.approval_other_request",
        "The vote was cast on another request.",
        "Cast it on this one.",
    ),
    Reason(
        "release.approval_signature",
        "The vote is not signed by the key of the approver that it names.",
        "Vote again with the right key; treat the store as tampered with if it did this.",
    ),
    Reason(
        "release.approval_late",
        "The approval was made after the request had ended.",
        _ANEW,
    ),
    Reason(
        "release.approval_untimely",
        "The approval says that it was made before the request, or in the future.",
        "Set the clocks right, and approve again.",
    ),
    Reason("release.approval_expired", "The approval has ended.", _ANEW),
    Reason(
        "release.approvals_missing",
        "{counted} of the {needed} approvals that are needed are there.",
        "Have the request approved by more people; `strongroom grant list` shows who did.",
    ),
    Reason(
        "release.approvers_malformed",
        "The list of approvers cannot be used: {problem}.",
        "Correct trust/approvers.toml; `strongroom grant key` prints a stanza for it.",
        ConfigurationRefused,
    ),
    Reason(
        "release.approver_key_malformed",
        "The file is not an approver's key.",
        "Name a file that `strongroom grant key` made.",
    ),
)

REASONS: Final = {row.code: row for row in _ROWS}


def refuse(code: str, **values: object) -> StrongroomError:
    """The error to raise for ``code``, with the values that its sentence has places for."""
    row = REASONS[code]
    return row.kind(row.code, row.sentence.format(**values), action=row.action)
