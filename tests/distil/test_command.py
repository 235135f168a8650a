"""``strongroom distil`` from a sealed teacher to a statement that a stranger checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from strongroom.artifact.manifest import read_manifest
from strongroom.cli.distilling import registered
from strongroom.cli.home import open_home
from strongroom.cli.main import run
from strongroom.distil.plan import read_plan
from strongroom.distil.statement import checked
from strongroom.errors import ExposureRefused
from strongroom.ledger.entries import StudentReleased
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records

from .conftest import LIMITS


class Owner:
    """A home with a sealed teacher, and how its owner types."""

    def __init__(self, folder: Path, data: Path, sealed: Path) -> None:
        self.folder, self.data, self.sealed = folder, data, sealed
        self.home = folder / "home"

    def __call__(self, *words: str | Path) -> int:
        return run([str(word) for word in ("--home", self.home, "distil", *words)])

    def on(self, verb: str, plan: str, *student: str) -> int:
        paths = [self.folder / name for name in (plan, *student)]
        code = self(verb, self.sealed, *paths, "--data", self.data)
        if verb == "plan":  # as its owner may edit it
            written = json.loads(paths[0].read_text())
            written["limits"] = msgspec.to_builtins(LIMITS)
            paths[0].write_text(json.dumps(written))
        return code

    def register(self, plan: str, student: str, capfd: pytest.CaptureFixture[str]) -> int:
        capfd.readouterr()
        paths = [self.folder / name for name in (plan, student)]
        assert self("register", self.sealed, *paths, "--json") == 0
        return int(json.loads(capfd.readouterr().out)["index"])

    @property
    def public(self) -> Path:
        return self.home / "keys" / "audit.pub"

    def released(self) -> list[bool]:
        key = LogKey.load(self.home / "keys" / "log.key")
        folder, verified = look(self.home / "state", "operator", key.public)
        found = records(folder, verified.published.size, verified.unpublished)
        return [each.entry.passed for each in found if isinstance(each.entry, StudentReleased)]


@pytest.fixture(scope="module")
def owner(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Owner:
    folder = tmp_path_factory.mktemp("owner") / "tried"
    home = ("--home", str(folder / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_CACHE", str(cache))
        assert run(["distil", "demo", str(folder)]) == 0
    assert run([*home, "init"]) == 0
    assert run([*home, "seal", str(folder / "plain"), "--out", str(folder / "sealed")]) == 0
    return Owner(folder, folder / "records.npz", folder / "sealed")


def refusal(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().err


def test_from_plan_to_statement(owner: Owner, capfd: pytest.CaptureFixture[str]) -> None:
    assert owner.on("plan", "plan.json") == 0
    assert owner.on("run", "plan.json", "student") == 0
    student = owner.folder / "student"
    assert sorted(p.name for p in student.iterdir()) == [
        "config.json",
        "model.safetensors",
        "student.json",
    ]
    told = json.loads((student / "student.json").read_text())
    assert 0 < told["asked"] <= 450
    assert owner.on("run", "plan.json", "student") == 5  # never over one that is there
    assert owner("verify", student) == 11  # not released yet
    capfd.readouterr()
    assert owner.on("release", "plan.json", "student") == 11  # nobody fixed its weights yet
    assert "distil.not_registered" in refusal(capfd)
    assert not (student / "release.json").exists()
    index = owner.register("plan.json", "student", capfd)
    assert owner.on("release", "plan.json", "student") == 0
    assert owner.released() == [True]
    stated = checked(student, student / "release.json", bytes.fromhex(owner.public.read_text()))
    assert stated.registered == index
    assert owner("verify", student) == 0
    public = owner.public
    assert owner("verify", student, "--key", public) == 0
    public.with_name("other.pub").write_text("11" * 32)
    assert owner("verify", student, "--key", public.with_name("other.pub")) == 11
    statement = (student / "release.json").read_bytes()
    for name in ("model.safetensors", "config.json", "release.json"):
        path = student / name
        kept = path.read_bytes()
        path.write_bytes(kept[:-40] + bytes([kept[-40] ^ 1]) + kept[-39:])
        assert owner("verify", student) == 11, name
        path.write_bytes(kept)
    assert owner("verify", student) == 0
    assert statement == (student / "release.json").read_bytes()


def test_a_copy_of_the_teacher_is_refused_and_the_refusal_recorded(
    owner: Owner, capfd: pytest.CaptureFixture[str]
) -> None:
    assert owner.on("plan", "copied.json") == 0
    assert owner.on("run", "copied.json", "copied") == 0
    path = owner.folder / "copied" / "model.safetensors"
    made: dict[str, Any] = load_file(path)
    stolen: dict[str, Any] = load_file(owner.folder / "plain" / "model.safetensors")
    save_file(made | {name: stolen[name] for name in ("first.weight", "first.bias")}, path)
    owner.register("copied.json", "copied", capfd)
    before = owner.released()
    assert owner.on("release", "copied.json", "copied") == 11
    assert "distil.gate_failed" in refusal(capfd)
    assert owner.released() == [*before, False]
    assert not (owner.folder / "copied" / "release.json").exists()


def stranger(owner: Owner) -> Path:
    """Another sealed model of the owner's, of the teacher's shape, with weights of its own."""
    made: dict[str, Any] = load_file(owner.folder / "plain" / "model.safetensors")
    draw = torch.Generator().manual_seed(9)
    plain, sealed = owner.folder / "stranger", owner.folder / "stranger.sealed"
    if not sealed.exists():
        plain.mkdir()
        (plain / "config.json").write_bytes((owner.folder / "plain" / "config.json").read_bytes())
        drawn = {
            name: torch.randn(each.shape, generator=draw) * each.std()
            for name, each in made.items()
        }
        save_file(drawn, plain / "model.safetensors")
        words = ("seal", str(plain), "--out", str(sealed), "--model-id", "stranger")
        assert run(["--home", str(owner.home), *words]) == 0
    return sealed


def test_a_student_with_tensors_of_another_sealed_model_is_refused(
    owner: Owner, capfd: pytest.CaptureFixture[str]
) -> None:
    assert owner.on("plan", "beside.json") == 0
    assert owner.on("run", "beside.json", "beside") == 0
    sealed, student = stranger(owner), owner.folder / "beside"
    words = (owner.sealed, owner.folder / "beside.json", student, "--data", owner.data)
    every = ("--beside", sealed, "--beside", sealed, "--beside", owner.sealed, "--json")
    digest = read_manifest(sealed, open_home(owner.home).trust).digest

    def found(*given: str | Path) -> tuple[int, list[dict[str, Any]]]:
        capfd.readouterr()
        code = owner("gate", *words, *given, "--json")
        checks = json.loads(capfd.readouterr().out)["checks"]
        return code, [each for each in checks if digest in each["note"]]

    code, (check,) = found(*every)  # once, however often it is named; the teacher has its own
    assert code == 0
    assert check["outcome"] == "passed"
    assert check["name"] == f"likeness to the tensors of sealed model {digest[:16]}"
    path = student / "model.safetensors"
    own = load_file(path)
    stolen = load_file(owner.folder / "stranger" / "model.safetensors")
    order = torch.randperm(len(stolen["first.weight"]), generator=torch.Generator().manual_seed(1))
    save_file(own | {"first.weight": -2 * stolen["first.weight"][order]}, path)
    assert not found()[1]  # nobody who is not asked about it sees it
    code, (check,) = found("--beside", sealed)
    assert code == 11
    assert check["outcome"] == "failed"
    assert check["value"] > 0.9
    save_file(own, path)
    owner.register("beside.json", "beside", capfd)
    assert owner("release", *words, "--beside", sealed) == 0
    public = bytes.fromhex(owner.public.read_text())
    stated = checked(student, student / "release.json", public)
    assert any(digest in each.note for each in stated.verdict.checks)


def test_a_registration_is_of_these_weights_and_of_that_teacher(
    owner: Owner, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert owner.on("plan", "fixed.json") == 0
    assert owner.on("run", "fixed.json", "fixed") == 0
    index = owner.register("fixed.json", "fixed", capfd)
    home, plan = open_home(owner.home), read_plan(owner.folder / "fixed.json")
    student = owner.folder / "fixed"
    assert registered(home, plan, student)[1] == index
    owner.register("fixed.json", "fixed", capfd)
    assert registered(home, plan, student)[1] == index  # the first one counts
    other = msgspec.structs.replace(plan, teacher="2" * 64)
    with pytest.raises(ExposureRefused, match="not_registered"):
        registered(home, other, student)
    path = student / "model.safetensors"
    tensors = load_file(path)
    save_file({name: value + 1e-3 for name, value in tensors.items()}, path)
    with pytest.raises(ExposureRefused, match="not_registered"):
        registered(home, plan, student)
    (tmp_path / "other.json").write_bytes(msgspec.json.encode(other))
    words = (owner.sealed, tmp_path / "other.json", student)
    capfd.readouterr()
    assert owner("register", *words) == 11
    assert "another teacher" in refusal(capfd)


def test_plans_and_students_that_do_not_belong_together(
    owner: Owner, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("plan", owner.sealed, owner.folder / "x.json", "--data", owner.data)
    assert owner(*words, "--answers", "logits") == 11
    assert "soft_labels_not_granted" in refusal(capfd)
    assert not (owner.folder / "x.json").exists()
    assert owner(*words, "--seed", "5") == 0
    for change, why in (("teacher", "another teacher"), ("records", "other records")):
        plan = json.loads((owner.folder / "x.json").read_text()) | {change: "1" * 64}
        (owner.folder / "y.json").write_text(json.dumps(plan))
        capfd.readouterr()
        assert owner.on("run", "y.json", "never") == 11
        assert why in refusal(capfd)
    assert not (owner.folder / "never").exists()
    broken = owner.folder / "broken"
    broken.mkdir()
    capfd.readouterr()
    assert owner.on("gate", "x.json", "broken") == 11
    assert "student_malformed" in refusal(capfd)
