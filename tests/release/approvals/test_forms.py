"""Documents and lists that are not in their exact form, wherever they come from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from strongroom.errors import StrongroomError
from strongroom.release.approvals import approvers, documents, tally
from strongroom.release.approvals.approver_key import ApproverKey
from strongroom.release.approvals.approvers import Approver, Approvers
from strongroom.release.approvals.documents import Request
from strongroom.store.grants import StoredRequest

from .office import HOUR, Office


def code_of_request(office: Office, raw: bytes) -> str:
    stored = StoredRequest(documents.request_id(raw), "aa" * 32, raw)
    with pytest.raises(StrongroomError) as refused:
        tally.read(stored, now=office.now)
    return refused.value.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"not_after": 91 * 24 * HOUR}, "release.grant_lifetime"),
        ({"created": 1 * HOUR, "not_after": 2 * HOUR}, "release.grant_untimely"),
    ],
)
def test_a_stored_request_with_wrong_times(
    office: Office, changes: dict[str, int], code: str
) -> None:
    request = documents.decode(office.ask().document, Request)
    moved = {name: office.now + seconds for name, seconds in changes.items()}
    changed = msgspec.structs.replace(request, **moved)
    assert code_of_request(office, documents.encode(changed)) == code


def test_another_spelling_or_size(office: Office) -> None:
    raw = office.ask().document
    for bad in (raw + b" ", raw.replace(b",", b", ", 1), b" " * 5000):
        assert code_of_request(office, bad) == "release.grant_malformed"


@pytest.mark.parametrize(
    "content",
    [
        b"[[approver]]\nname = 'a'\nkey = '!!!'\n",
        b"[[approver]]\nname = 'a'\nkey = 'AAAA'\n",
        b"[[approver]]\nname = ''\nkey = 'AAAA'\n",
        b"[[other]]\n",
        b"\xff",
        b"not toml",
        b"#" * (256 * 1024 + 1),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "approvers.toml"
    path.write_bytes(content)
    with pytest.raises(StrongroomError) as refused:
        approvers.load(path)
    assert refused.value.code == "release.approvers_malformed"


def test_a_list_that_is_one(tmp_path: Path, office: Office) -> None:
    path = tmp_path / "approvers.toml"
    path.write_text("\n".join(one.stanza for one in office.listed))
    assert len(approvers.load(path)) == 3
    assert len(approvers.load(tmp_path / "absent")) == 0
    with pytest.raises(StrongroomError):
        approvers.load(tmp_path)
    with pytest.raises(StrongroomError):
        Approvers([Approver("a", b"short")])


@pytest.mark.parametrize("passphrase", [None, b"correct horse battery"])
def test_an_approver_s_file(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "ada.key"
    made = ApproverKey.create(path, "ada", passphrase)
    assert ApproverKey.load(path, passphrase).approver == made.approver
    whole = path.read_bytes()
    for content in (b"", b"{}", whole[:-2], whole.replace(b"approver key v1", b"approver key v2")):
        path.write_bytes(content)
        with pytest.raises(StrongroomError) as refused:
            ApproverKey.load(path, passphrase)
        assert refused.value.code == "release.approver_key_malformed"


def test_a_protected_file_needs_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "ada.key"
    ApproverKey.create(path, "ada", b"correct horse battery")
    for given, code in ((None, "keys.passphrase_missing"), (b"other", "keys.wrong_passphrase")):
        with pytest.raises(StrongroomError) as refused:
            ApproverKey.load(path, given)
        assert refused.value.code == code


def test_a_request_that_nobody_made(office: Office) -> None:
    with pytest.raises(StrongroomError) as refused:
        office.desk.find("0" * 24)
    assert refused.value.code == "release.grant_unknown"
