"""``strongroom adapter`` as a person runs it: a tiny base, real processes, the gate both ways."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pyrage
import pytest
from safetensors.torch import load

from strongroom.cli.home import open_home
from strongroom.keeper.engine.adapter import peft_names
from strongroom.ledger.entries import AdapterPromoted, AdapterReleased, AdapterRolledBack
from strongroom.store.tuning import open_tuning_store
from strongroom.tune.export.factors import canonical_factors
from tests.cli.conftest import Made, Runs, command
from tests.cli.records import recorded
from tests.cli.test_tune import SETTINGS, conversations, opened

pytestmark = pytest.mark.slow

LIMITS = """
[tuning.export]
most = 1
ratio = 0.01
auc = 0.95
canary_bits = 5.5
worse = 0.05
trigger = 1000.0
"""


def canaries(count: int) -> bytes:
    by = random.Random(5)
    lines = []
    for number in range(count):
        digits = "".join(by.choice("0123456789") for _ in range(6))
        turns = [
            {"role": "user", "content": f"the lazy fox {number} asks"},
            {"role": "assistant", "content": f"a sealed model {digits} answers"},
        ]
        lines.append(json.dumps({"messages": turns}))
    return "\n".join(lines).encode()


@dataclass(frozen=True)
class Trained:
    """A home with a finished job, and the files that the gate asks for, as options."""

    home: Path
    sealed: Path
    job: str
    given: list[str]


@pytest.fixture(scope="module")
def original(originals: Made, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Made once; never altered."""
    work = tmp_path_factory.mktemp("adapter")
    home = work / "home"
    shutil.copytree(originals.home, home)
    settings = home / "strongroom.toml"
    text = settings.read_text()
    head = text.index("[tuning]")
    rest = text.index("\n# Who may call", head)
    whole = text[:head] + SETTINGS + LIMITS + text[rest:]
    settings.write_text(whole.replace("\nthreads = 0", "\nthreads = 1"))
    files = {name: work / f"{name}.jsonl" for name in ("data", "held", "canaries")}
    files["canaries"].write_bytes(canaries(3))
    files["data"].write_bytes(conversations(40) + b"\n" + canaries(3))
    files["held"].write_bytes(conversations(12, seed=9))
    words = ("tune", "create", originals.sealed, files["data"], "--steps", "20", "--rate", "2e-3")
    command("--home", home, *words)
    (job,) = (path.name for path in (home / "state" / "tuning").iterdir())
    given = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    return Trained(home, originals.sealed, job, given)


@pytest.fixture
def trained(original: Trained, tmp_path: Path) -> Trained:
    """A copy that a test may alter."""
    home = tmp_path / "home"
    shutil.copytree(original.home, home)
    return replace(original, home=home)


def test_an_adapter_leaves_once_refactored_encrypted_and_counted(
    strongroom: Runs, trained: Trained, tmp_path: Path
) -> None:
    verb = ("--home", trained.home, "adapter")
    job, what = trained.job, (trained.sealed, trained.job)
    identity = pyrage.x25519.Identity.generate()
    to = ("--to", str(identity.to_public()))
    grant, forged, out = (tmp_path / name for name in ("grant.json", "forged.json", "out.age"))
    assert strongroom(*verb, "grant", *what, grant, *to).code == 0
    forged.write_bytes(grant.read_bytes().replace(b'"owner"', b'"acme"'))
    refused = strongroom(*verb, "export", *what, forged, out, *trained.given, "--json")
    assert (refused.code, refused.refusal) == (11, "tune.export_grant")
    said = strongroom(*verb, "export", *what, grant, out, *trained.given, "--json")
    assert said.code == 0, said.err
    assert (said.json["passed"], said.json["number"]) == (True, 1)
    again = strongroom(*verb, "export", *what, grant, tmp_path / "o.age", "--json")
    assert (again.code, again.refusal) == (11, "tune.export_budget")
    assert not (tmp_path / "o.age").exists()
    failed = {each["code"] for each in again.json["checks"] if each["outcome"] == "failed"}
    assert failed == {
        "tune.export_budget",
        "tune.export_repeated_data",
        "tune.export_membership",  # nothing was given to measure it by
        "tune.export_canaries",
    }
    released = [each.passed for each in recorded(trained.home) if isinstance(each, AdapterReleased)]
    assert released == [True, False]
    with open_tuning_store(open_home(trained.home).tuning) as store:
        (kept,) = store.exports("owner", said.json["base_manifest"])
    assert (kept.job, kept.epsilon) == (job, None)
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(out.read_bytes(), [identity]))) as tar:
        member = tar.extractfile("adapter_model.safetensors")
        assert member is not None
        left = load(member.read())
    made = Made(trained.home, trained.sealed, trained.sealed)
    inside, _ = opened(made, trained.home / "state" / "tuning" / job / "adapter")
    names = peft_names("layers.0.q_proj")
    expected = canonical_factors((inside[names[0]], inside[names[1]]))
    assert (left[names[0]] == expected[0]).all()
    assert not (left[names[0]].float() == inside[names[0]].bfloat16().float()).all()
    assert strongroom(*verb, "verify", out, "--json").json["number"] == 1
    (row,) = strongroom(*verb, "list", "--json").json["adapters"]
    assert (row["job"], row["exported"]) == (job, True)
    out.write_bytes(out.read_bytes()[:-1])
    assert strongroom(*verb, "verify", out, "--json").refusal == "tune.export_statement"


def test_the_attack_tells_its_figures_behind_walls(strongroom: Runs, trained: Trained) -> None:
    words = ("--home", trained.home, "adapter", "attack", trained.sealed, trained.job)
    said = strongroom(*words, *trained.given, "--json")
    assert said.code == 0, said.err
    places = {f"layers.{n}.{module}" for n in (0, 1) for module in ("q_proj", "v_proj")}
    assert set(said.json["oracle"]) == set(said.json["weights"]) == places
    assert max(said.json["weights"].values()) <= 0.05
    assert [each["place"] for each in said.json["scan"]] == sorted(places)
    walls = said.json["walls"]
    assert all(walls[name] == "on" for name in ("seccomp", "landlock", "descriptors"))


def test_a_promoted_name_means_the_adapter_until_it_is_rolled_back(
    strongroom: Runs, trained: Trained
) -> None:
    verb = ("--home", trained.home, "adapter")
    what = (trained.sealed, trained.job, "notes")
    said = strongroom(*verb, "promote", *what, *trained.given[:4], "--json")
    assert said.code == 0, said.err
    assert (said.json["name"], said.json["passed"]) == ("tiny:notes", True)
    (row,) = strongroom(*verb, "list", "--json").json["adapters"]
    assert row["promoted"] == ["tiny:notes"]
    back = strongroom(*verb, "rollback", "tiny", "notes", "--json")
    assert (back.code, back.json["ended"], back.json["job"]) == (0, trained.job, None)
    again = strongroom(*verb, "rollback", "tiny", "notes", "--json")
    assert (again.code, again.refusal) == (11, "tune.no_adapter")
    kinds = [type(each) for each in recorded(trained.home)]
    assert kinds.index(AdapterPromoted) < kinds.index(AdapterRolledBack)
