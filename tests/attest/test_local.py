"""Local evidence is the word of a process of this user, and no more than that."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.local import REPORT_BYTES, LocalEvidence, Peer, verify

ME = Peer(4242, 1000)
SAID = LocalEvidence("ab" * 32, "cd" * 32, "Linux 6", 4242, bytes(REPORT_BYTES))
GOOD = msgspec.json.encode(SAID)


def code_of(evidence: bytes = GOOD, sender: Peer | None = ME, user: int = 1000) -> str:
    with pytest.raises(EvidenceRefused) as refused:
        verify(evidence, sender=sender, user=user)
    return refused.value.code


def test_what_is_said_is_the_fact() -> None:
    facts = verify(GOOD, sender=ME, user=1000)
    assert (facts.kind, facts.assurance, facts.debug) == ("local", "SOFTWARE-ONLY", False)
    assert facts.measurements == {"code": "ab" * 32, "configuration": "cd" * 32}
    assert facts.report_data == bytes(REPORT_BYTES)
    assert facts.chip == ""
    assert [check.number for check in facts.checks] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": None}, "attest.local_sender"),
        ({"sender": None, "user": -1}, "attest.local_sender"),
        ({"sender": Peer(4242, 1001)}, "attest.local_user"),
        ({"user": 0}, "attest.local_user"),
        ({"sender": Peer(4243, 1000)}, "attest.local_process"),
    ],
)
def test_one_thing_wrong(changes: dict[str, Any], code: str) -> None:
    assert code_of(**changes) == code


@pytest.mark.parametrize(
    "change",
    [
        {"code": "AB" * 32},
        {"code": "ab" * 31},
        {"configuration": ""},
        {"kernel": ""},
        {"pid": 0},
        {"pid": "4242"},
        {"report_data": ""},
        {"extra": 1},
        {"kind": "snp"},
    ],
)
def test_another_form(change: dict[str, Any]) -> None:
    document = json.loads(GOOD) | change
    assert code_of(json.dumps(document).encode()) == "attest.local_form"


@given(st.binary(max_size=200), st.integers(0, len(GOOD)))
def test_no_bytes_raise_anything_else(more: bytes, at: int) -> None:
    for raw in (more, GOOD[:at] + more + GOOD[at:]):
        found = code_of(raw, sender=Peer(0, 1000))  # the word of a process that sent nothing
        assert found in {"attest.local_form", "attest.local_process"}
