"""``strongroom grant`` by the real command line: people approve, on one machine and on others."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Made, Runs, Said

POLICY = 'template = "dev"\n\n[allow]\napprovals = 2\n'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


class Grants:
    """A home with three approvers, and the words that every call shares."""

    def __init__(self, run: Runs, made: Made, policy: Path, keys: Path) -> None:
        self.run, self.made, self.policy, self.keys = run, made, policy, keys
        stanzas = []
        for name in ("ada", "bob", "eve"):
            said = run("grant", "key", keys / name, "--name", name, "--json")
            assert said.code == 0, said.err
            stanzas.append(said.json["stanza"])
        (made.home / "trust" / "approvers.toml").write_text("\n".join(stanzas))

    def call(self, *words: str | Path) -> Said:
        return self.run("grant", *words, "--home", self.made.home, "--json")

    def request(self) -> str:
        said = self.call(
            "request", self.made.sealed, "--policy", self.policy, "--reason", "release to eu"
        )
        assert said.code == 0, said.err
        return str(said.json["id"])

    def vote(self, verb: str, request: str | Path, who: str, *more: str | Path) -> Said:
        return self.call(verb, request, "--key", self.keys / who, "--reason", "reviewed", *more)

    def listed(self, *more: str) -> list[dict[str, object]]:
        said = self.call("list", *more)
        assert said.code == 0, said.err
        return list(said.json["requests"])


@pytest.fixture
def grants(strongroom: Runs, made: Made, policy: Path, tmp_path: Path) -> Grants:
    keys = tmp_path / "approvers"
    keys.mkdir()
    return Grants(strongroom, made, policy, keys)


def test_two_people_approve_and_one_revokes(grants: Grants) -> None:
    request = grants.request()
    assert [row["approved_by"] for row in grants.listed()] == [[]]
    assert grants.vote("approve", request, "ada").json["approved_by"] == ["ada"]
    assert grants.vote("approve", request, "ada").refusal == "release.approver_twice"
    assert grants.vote("approve", request, "bob").json["approved_by"] == ["ada", "bob"]
    assert [row["approved_by"] for row in grants.listed()] == [["ada", "bob"]]
    assert grants.vote("revoke", request, "eve").json["revoked_by"] == "eve"
    assert grants.listed() == []
    assert [row["state"] for row in grants.listed("--all")] == ["release.grant_revoked"]
    said = grants.run("log", "tail", "--log", "operator", "--home", grants.made.home, "--json")
    kinds = ("ApprovalRequested", "ApprovalGiven", "ApprovalRevoked")
    assert all(kind in said.out for kind in kinds)
    assert grants.run("log", "verify", "--home", grants.made.home).code == 0


def test_an_approver_votes_on_another_machine(grants: Grants, tmp_path: Path) -> None:
    """What crosses is the request and the vote; neither key nor home does."""
    request = grants.request()
    asked, vote = tmp_path / "request.json", tmp_path / "vote.json"
    assert grants.call("show", request, "--out", asked).code == 0
    nowhere = ("--home", tmp_path / "no-home")
    words = ("--key", grants.keys / "ada", "--reason", "reviewed", "--out", vote)
    said = grants.run("grant", "approve", asked, *words, *nowhere)
    assert said.code == 0, said.err
    assert grants.call("submit", vote).json["approved_by"] == ["ada"]
    assert grants.call("submit", vote).refusal == "release.approver_twice"
    vote.write_text(vote.read_text().replace("approval", "revocation"))
    assert grants.call("submit", vote).refusal == "release.grant_malformed"
    asked.write_bytes(asked.read_bytes() + b" ")
    vote.unlink()
    said = grants.run("grant", "approve", asked, *words, *nowhere, "--json")
    assert said.refusal == "release.grant_malformed"


def test_what_the_approver_holds_is_compared(grants: Grants, tmp_path: Path) -> None:
    request = grants.request()
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace("2", "1"))
    sealed = ("--model", grants.made.sealed)
    said = grants.vote("approve", request, "ada", *sealed, "--policy", other)
    assert said.refusal == "cli.grant_differs"
    assert grants.listed()[0]["approved_by"] == []
    said = grants.vote("approve", request, "ada", *sealed, "--policy", grants.policy)
    assert said.json["approved_by"] == ["ada"]
    assert grants.vote("approve", request, "ada", *sealed).code == 2


def test_nobody_approves_whom_the_home_does_not_list(grants: Grants) -> None:
    request = grants.request()
    (grants.made.home / "trust" / "approvers.toml").unlink()
    assert grants.vote("approve", request, "ada").refusal == "release.approver_unknown"
    assert grants.vote("revoke", request, "ada").refusal == "release.approver_unknown"


def test_a_list_that_others_can_write_is_refused(grants: Grants) -> None:
    (grants.made.home / "trust" / "approvers.toml").chmod(0o666)
    assert grants.call("list").refusal == "cli.home_exposed"


def test_a_key_with_a_passphrase(grants: Grants, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    words = ("--name", "zoe", "--passphrase-file", secret, "--json")
    said = grants.run("grant", "key", grants.keys / "zoe", *words)
    with (grants.made.home / "trust" / "approvers.toml").open("a") as file:
        file.write(said.json["stanza"])
    request = grants.request()
    assert grants.vote("approve", request, "zoe").refusal == "cli.passphrase_needed"
    said = grants.vote("approve", request, "zoe", "--passphrase-file", secret)
    assert said.json["approved_by"] == ["zoe"]
    secret.write_text("wrong horse battery\n")
    said = grants.vote("revoke", request, "zoe", "--passphrase-file", secret)
    assert said.refusal == "keys.wrong_passphrase"
