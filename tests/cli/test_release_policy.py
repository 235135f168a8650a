"""``serve`` under the owner's policy: two people approve, or nothing starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Made, Runs
from tests.cli.test_grant import Grants
from tests.cli.test_serve import served


def written(strongroom: Runs, path: Path, *, approvals: int) -> Path:
    """The policy that ``policy new`` writes for this installation, filled in as it says."""
    assert strongroom("policy", "new", path, "--template", "dev").code == 0
    text = path.read_text().replace("approvals = 0", f"approvals = {approvals}")
    head, example, tail = text.partition("# [[image]]")
    stanza, blank, rest = (example + tail).partition("\n\n")
    filled = "\n".join(line.removeprefix("# ") for line in stanza.splitlines())
    path.write_text(head + filled + blank + rest)
    return path


@pytest.mark.slow
def test_a_policy_that_wants_two_people(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    policy = written(strongroom, tmp_path / "policy.toml", approvals=2)
    keys = tmp_path / "approvers"
    keys.mkdir()
    grants = Grants(strongroom, made, policy, keys)
    request = grants.request()
    grants.vote("approve", request, "ada")
    with served(made, "--release-policy", str(policy)) as server:
        assert server.error()["error"] == "release.approvals_missing"
        assert server.end() == 4
    grants.vote("approve", request, "bob")
    with served(made, "--release-policy", str(policy)) as server:
        assert server.ready()["ready"] is True
    said = strongroom("log", "tail", "--log", "release", "--home", made.home, "--json")
    assert [kind for kind in ("KeyRefused", "KeyReleased") if kind in said.out] == [
        "KeyRefused",
        "KeyReleased",
    ]


def test_a_policy_that_cannot_be_used_starts_nothing(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    (tmp_path / "mine.cedar").write_text("permit (principal, action, resource);")
    policy = tmp_path / "policy.toml"
    policy.write_text('cedar = "mine.cedar"\n')
    words = ("--home", made.home, "serve", made.sealed, "--json")
    said = strongroom(*words, "--release-policy", policy)
    assert (said.code, said.refusal) == (5, "release.policy_invalid")
    settings = made.home / "strongroom.toml"
    text = settings.read_text().replace('release_policy = ""', 'release_policy = "none.toml"')
    settings.write_text(text)
    assert strongroom(*words).refusal == "release.policy_unreadable"
