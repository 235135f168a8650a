"""Grants and statements: whose, about what, until when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.artifact.signing import SigningKey
from strongroom.errors import StrongroomError
from strongroom.report.statement import Signer
from strongroom.tune.export import grant as grants
from strongroom.tune.export import statement
from strongroom.tune.export.gate import Check, Verdict

KEY, STRANGER = SigningKey.generate(), SigningKey.generate()
GRANT = grants.ExportGrant(
    job="ftjob-1", organisation="acme", manifest="0" * 64, recipients=("age1x",), not_after=100
)
SAME: dict[str, Any] = {"job": "ftjob-1", "organisation": "acme", "manifest": "0" * 64}


def code(call: Any) -> str:
    with pytest.raises(StrongroomError) as caught:
        call()
    return caught.value.code


def test_a_grant_of_the_owner_counts_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "grant.json"
    path.write_bytes(grants.signed(GRANT, KEY))
    assert grants.checked(path, [STRANGER.public, KEY.public], 99) == GRANT
    assert code(lambda: grants.checked(path, [KEY.public], 100)) == "tune.export_grant"
    assert code(lambda: grants.checked(path, [STRANGER.public], 1)) == "tune.export_grant"
    assert code(lambda: grants.checked(path, [], 1)) == "tune.export_grant"


@pytest.mark.parametrize("old", [b"ftjob-1", b"acme", b"age1x", b"100"])
def test_a_grant_that_was_altered_does_not(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "grant.json"
    raw = grants.signed(GRANT, KEY)
    assert old in raw
    path.write_bytes(raw.replace(old, old[:-1] + b"9", 1))
    assert code(lambda: grants.checked(path, [KEY.public], 1)) == "tune.export_grant"


def test_a_manifest_is_no_grant(tmp_path: Path) -> None:
    """The same key signs both: the label keeps them apart."""
    path = tmp_path / "grant.json"
    found = msgspec.json.decode(grants.signed(GRANT, KEY))
    plain = KEY.sign(msgspec.json.encode(GRANT, order="sorted"))
    path.write_bytes(
        msgspec.json.encode(found | {"ed25519": plain.ed25519, "ml_dsa_65": plain.ml_dsa_65})
    )
    assert code(lambda: grants.checked(path, [KEY.public], 1)) == "tune.export_grant"


def test_a_grant_is_about_one_export() -> None:
    grants.require_same(GRANT, **SAME, allowed=())
    grants.require_same(GRANT, **SAME, allowed=("age1x", "age1y"))
    for other in ({"job": "ftjob-2"}, {"organisation": "b"}, {"manifest": "1" * 64}):
        told = code(lambda o=other: grants.require_same(GRANT, **(SAME | o), allowed=()))
        assert told == "tune.export_grant"
    told = code(lambda: grants.require_same(GRANT, **SAME, allowed=("age1y",)))
    assert told == "tune.export_grant"


def test_a_statement_is_about_one_file(tmp_path: Path) -> None:
    signer, file, path = Signer.generate(), tmp_path / "a.age", tmp_path / "a.age.json"
    check = Check("steps", "tune.export_too_short", 20.0, 20.0, "passed")
    left = statement.Exported(
        job="ftjob-1",
        organisation="acme",
        base_manifest="0" * 64,
        adapter_manifest="1" * 64,
        dataset="2" * 64,
        number=1,
        recipients=("age1x",),
        verdict=Verdict((check,)),
    )
    file.write_bytes(b"sealed")
    path.write_bytes(statement.signed("a.age", b"sealed", left, signer))
    assert statement.checked(file, path, signer.public) == left
    stranger = Signer.generate().public
    assert code(lambda: statement.checked(file, path, stranger)) == "tune.export_statement"
    file.write_bytes(b"other")
    assert code(lambda: statement.checked(file, path, signer.public)) == "tune.export_statement"
    file.write_bytes(b"sealed")
    failed = msgspec.structs.replace(check, outcome="failed")
    refused = msgspec.structs.replace(left, verdict=Verdict((failed,)))
    path.write_bytes(statement.signed("a.age", b"sealed", refused, signer))
    assert code(lambda: statement.checked(file, path, signer.public)) == "tune.export_statement"
