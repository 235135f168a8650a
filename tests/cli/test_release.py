"""``strongroom release``: revoking models, and noting what was made from what."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import KeyRefused
from strongroom.release.lineage import require_standing
from strongroom.store.lineage import Named, open_lineage_store
from tests.cli.conftest import Made, Runs, Said, command


@dataclasses.dataclass
class Office:
    run: Runs
    made: Made
    student: Path

    def call(self, *words: str | Path) -> Said:
        return self.run("--home", self.made.home, "release", *words)

    def listed(self) -> dict[str, Any]:
        return self.call("list", "--json").json

    def entries(self) -> list[str]:
        said = self.run("log", "tail", "--log", "operator", "--home", self.made.home, "--json")
        return said.out.splitlines()


@pytest.fixture(scope="session")
def sealed_student(originals: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights under another name: to lineage a model of its own."""
    work = tmp_path_factory.mktemp("student")
    shutil.copytree(originals.home, work / "home")
    words = ("seal", originals.plain, "--out", work / "sealed", "--model-id", "acme/student")
    command("--home", work / "home", *words)
    return work / "sealed"


@pytest.fixture
def office(strongroom: Runs, made: Made, sealed_student: Path) -> Office:
    return Office(strongroom, made, sealed_student)


def test_what_was_made_from_a_revoked_model_falls_with_it(office: Office) -> None:
    assert office.call("list").out.startswith("No model is revoked.")
    said = office.call("derive", office.student, "--from", office.made.sealed, "--json")
    assert (said.code, said.json["state"]) == (0, "in force")
    again = office.call("derive", office.student, "--from", office.made.sealed, "--json")
    assert again.refusal == "store.duplicate_derivation"
    base = said.json["from"]["model"]
    revoked = office.call("revoke", base, "--reason", "leaked", "--json").json
    assert revoked["revoked"] == {"model": base, "release": 0, "manifest": ""}
    assert [each["model"] for each in revoked["with_it"]] == ["acme/student"]
    (row,), (made,) = office.listed()["revoked"], office.listed()["derived"]
    assert (row["reason"], made["state"]) == ("leaked", "release.source_revoked")
    text = office.call("list").out
    assert base in text
    assert "release.source_revoked" in text
    kinds = [kind for line in office.entries() for kind in ("DerivationNoted", "ModelRevoked")
             if f'"{kind}"' in line]  # fmt: skip
    assert kinds == ["DerivationNoted", "ModelRevoked"]
    assert office.run("log", "verify", "--home", office.made.home).code == 0


def test_a_folder_and_a_digest_name_one_release(office: Office) -> None:
    said = office.call("revoke", office.student, "--reason", "one", "--json").json["revoked"]
    assert (said["model"], said["release"]) == ("acme/student", 1)
    digest = said["manifest"]
    assert office.call("revoke", digest, "--reason", "two", "--json").json["revoked"] == {
        "model": "", "release": 0, "manifest": digest,
    }  # fmt: skip
    with open_lineage_store(str(office.made.home / "state" / "lineage.sqlite")) as store:
        rows = store.revocations()
        for found in (rows, rows[1:]):
            with pytest.raises(KeyRefused):
                require_standing(Named("acme/renamed", 7, digest), found, ())
        require_standing(Named("acme/student", 2, "ee" * 32), rows, ())  # a later release stands
        require_standing(Named("", 0, "ee" * 32), rows, ())


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("revoke", "acme/x", "--reason", " "), "cli.reason"),
        (("revoke", "acme/x", "--reason", "a\nb"), "cli.reason"),
        (("revoke", "acme/x", "--reason", "x" * 201), "cli.reason"),
        (("revoke", "no id!", "--reason", "x"), "cli.bad_model_id"),
        (("revoke", "ab" * 32, "--release", "2", "--reason", "x"), "cli.revoke_release"),
    ],
)
def test_what_revokes_nothing(office: Office, words: tuple[str, ...], code: str) -> None:
    assert office.call(*words, "--json").refusal == code
    assert office.listed() == {"revoked": [], "derived": []}


def test_a_model_is_not_made_from_itself(office: Office) -> None:
    said = office.call("derive", office.student, "--from", office.student, "--json")
    assert (said.code, said.refusal) == (5, "cli.derives_from_itself")


def test_a_name_nobody_has_seen_is_revoked_and_pointed_out(office: Office) -> None:
    said = office.call("revoke", "acme/mispelt", "--release", "3", "--reason", "x")
    assert said.code == 0
    assert "spelled" in said.err
    assert office.listed()["revoked"][0]["release"] == 3


def test_a_revocation_counts_though_it_cannot_be_recorded(office: Office) -> None:
    (office.made.home / "keys" / "log.key").unlink()
    said = office.call("revoke", "acme/x", "--reason", "leaked", "--json")
    assert said.code != 0
    assert [row["model"] for row in office.listed()["revoked"]] == ["acme/x"]
