"""``tenant``, ``key limits``, ``switch``: what they change, what they print, what they record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.cli.limits_text import parse, recorded, show
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.store.limits import UNLIMITED, Amounts, Limits
from strongroom.store.sqlite import SqliteStore
from tests.cli.conftest import Runs


@pytest.fixture
def home(strongroom: Runs, tmp_path: Path) -> Path:
    path = tmp_path / "home"
    assert strongroom("--home", path, "init").code == 0
    return path


def entries(home: Path) -> list[dict[str, Any]]:
    """The operators' record, verified as it is opened."""
    with open_log(home / "state", "operator", LogKey.load(home / "keys" / "log.key")) as log:
        return [msgspec.to_builtins(each.entry) for each in log.records()]


def test_a_tenant_from_its_making_to_its_suspension(strongroom: Runs, home: Path) -> None:
    at = ("--home", home)
    made = strongroom(
        *at, "tenant", "create", "acme", "requests/minute=60", "egress-bits/day=1_000"
    )
    assert made.code == 0, made.err
    assert "requests/minute=60, egress-bits/day=1,000" in made.out
    said = strongroom(*at, "tenant", "create", "acme", "--json")
    assert (said.code, said.refusal) == (5, "cli.organisation_exists")
    changed = strongroom(*at, "tenant", "limits", "acme", "requests/minute=none", "concurrent=4")
    assert "egress-bits/day=1,000, concurrent=4" in changed.out
    assert strongroom(*at, "tenant", "limits", "acme", "--json").json == {
        "name": "acme",
        "limits": {"egress-bits/day": 1000, "concurrent": 4},
    }
    assert "is off" in strongroom(*at, "tenant", "suspend", "acme", "--reason", "they asked").out
    assert "already" in strongroom(*at, "tenant", "suspend", "acme").out
    [row] = strongroom(*at, "tenant", "list", "--json").json["tenants"]
    assert row["state"] == "suspended"
    assert "suspended" in strongroom(*at, "tenant", "list").out
    assert strongroom(*at, "tenant", "resume", "acme").code == 0
    assert strongroom(*at, "tenant", "list", "--json").json["tenants"][0]["state"] == "served"
    with SqliteStore(home / "state" / "strongroom.sqlite") as store:
        found = store.organisation("acme")
    assert found is not None
    assert found.limits == Limits(day=Amounts(egress_millibits=1_000_000), concurrent=4)


def test_every_change_is_in_the_record(strongroom: Runs, home: Path) -> None:
    at = ("--home", home)
    strongroom(*at, "tenant", "create", "acme", "requests/minute=60")
    key = strongroom(*at, "key", "create", "--org", "acme", "--limit", "burst=3", "--json").json
    strongroom(*at, "key", "limits", key["id"], "input-tokens/day=9")
    strongroom(*at, "key", "revoke", key["id"])
    strongroom(*at, "switch", "off", "--model", "smol", "--reason", "it leaks")
    strongroom(*at, "switch", "on", "smol")
    found = entries(home)
    assert [entry.pop("type") for entry in found] == [
        "OrganisationChanged",
        "LimitsChanged",
        "KeyChanged",
        "LimitsChanged",
        "LimitsChanged",
        "KeyChanged",
        "Switched",
        "Switched",
    ]
    assert all(entry.pop("by").startswith("cli:") for entry in found)
    assert found[1]["limits"] == {"minute_requests": 60}
    assert found[4]["limits"] == {"burst": 3, "day_input_tokens": 9}
    assert found[6] == {
        "subject_kind": "model", "subject": "smol", "on": False, "remark": "it leaks",
    }  # fmt: skip
    assert key["key"] not in str(found)


def test_a_key_has_scopes_and_limits(strongroom: Runs, home: Path) -> None:
    at = ("--home", home)
    words = ("--scope", "chat", "--scope", "models", "--limit", "output-tokens/total=500")
    key = strongroom(*at, "key", "create", "--org", "new", *words, "--json").json
    assert key["scopes"] == ["chat", "models"]
    assert key["limits"] == {"output-tokens/total": 500}
    assert strongroom(*at, "tenant", "list", "--json").json["tenants"][0]["name"] == "new"
    shown = strongroom(*at, "key", "limits", key["id"], "output-tokens/total=none").out
    assert shown == f"Limits of {key['id']}: none.\n"
    [row] = strongroom(*at, "key", "list", "--json").json["keys"]
    assert (row["scopes"], row["limits"]) == (["chat", "models"], {})
    assert strongroom(*at, "key", "limits", "0" * 16, "--json").refusal == "store.no_key"


def test_a_mistyped_switch_does_not_look_like_success(strongroom: Runs, home: Path) -> None:
    at = ("--home", home)
    strongroom(*at, "tenant", "create", "acme")
    for words in (("acne",), ("acne", "--tenant"), ("x" * 129, "--model"), ("a", "--reason", "\n")):
        said = strongroom(*at, "switch", "off", *words)
        assert said.code in (2, 5), words
    assert strongroom(*at, "switch", "list").out == "Nothing is switched off.\n"
    assert strongroom(*at, "switch", "off", "acme", "--json").json == {
        "kind": "tenant", "name": "acme", "state": "off", "changed": True,
    }  # fmt: skip
    assert strongroom(*at, "switch", "off", "acme", "--model").code == 0
    assert len(strongroom(*at, "switch", "list", "--json").json["off"]) == 2
    assert strongroom(*at, "switch", "on", "acme", "--json").refusal == "cli.which_switch"
    assert strongroom(*at, "switch", "on", "acme", "--model").code == 0
    assert strongroom(*at, "switch", "on", "acme").code == 0
    assert strongroom(*at, "switch", "list", "--json").json["off"] == []


def test_an_off_that_cannot_be_recorded_is_off_and_an_on_is_not(
    strongroom: Runs, home: Path
) -> None:
    at = ("--home", home)
    strongroom(*at, "tenant", "create", "acme")
    (home / "state" / "log" / "operator" / "checkpoint").unlink()
    assert strongroom(*at, "switch", "off", "acme", "--json").refusal == "ledger.missing"
    assert strongroom(*at, "switch", "list", "--json").json["off"][0]["name"] == "acme"
    assert strongroom(*at, "switch", "on", "acme", "--json").refusal == "ledger.missing"
    assert strongroom(*at, "switch", "list", "--json").json["off"][0]["name"] == "acme"
    assert strongroom(*at, "key", "create", "--org", "acme", "--json").refusal == "ledger.missing"
    assert strongroom(*at, "key", "list", "--json").json["keys"] == []


@pytest.mark.parametrize(
    "word",
    [
        "requests",
        "requests=3",
        "requests/hour=3",
        "tokens/day=3",
        "concurrent/day=3",
        "burst=-1",
        "burst=1.5",
        "burst=0",
        "requests/day=",
        "requests/day=x",
        "requests/day=٣",
        "requests/day=99999999999999999999",
        "requests/minute=100000001",
        "=",
    ],
)
def test_what_is_no_limit_is_refused(strongroom: Runs, home: Path, word: str) -> None:
    said = strongroom("--home", home, "tenant", "create", "acme", word, "--json")
    assert (said.code, said.refusal) == (5, "cli.bad_limit")
    assert strongroom("--home", home, "tenant", "list", "--json").json["tenants"] == []


def test_limits_read_as_they_are_shown() -> None:
    every = [
        f"{what}/{window}={number}"
        for number, what in enumerate(
            ("requests", "input-tokens", "output-tokens", "compute-seconds", "egress-bits"), 7
        )
        for window in ("minute", "day", "total")
    ]
    limits = parse([*every, "concurrent=3", "burst=2"], UNLIMITED)
    assert limits.day.compute_ms == 10_000
    assert limits.total.egress_millibits == 11_000
    assert parse([f"{name}={amount}" for name, amount in show(limits).items()], UNLIMITED) == limits
    assert len(recorded(limits)) == 17
    assert parse(["burst=none", "requests/day=none"], limits).burst is None
