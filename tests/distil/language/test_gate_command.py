"""A student of a language model from its folder to a statement: registered first, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from strongroom.cli.main import run
from strongroom.distil.language.folder import Told, files_of
from strongroom.distil.plan import read_plan
from strongroom.distil.statement import LanguageRelease, checked
from strongroom.report.evidence import gathered

from . import gated
from .test_run import write_texts


class Owner:
    """A home with the sealed teacher, a plan, and a student that was made by it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.plan, self.student = folder / "plan.json", folder / "student"
        self.sealed = folder / "sealed"
        data = write_texts(folder / "records.jsonl", gated.owner())
        corpus = write_texts(folder / "corpus.jsonl", gated.public())
        self.texts = ("--data", data, "--corpus", corpus)
        self.write(folder / "plain", Told("0" * 64, gated.plan().asked), teacher=True)
        assert self("init") == 0
        assert self("seal", folder / "plain", "--out", self.sealed) == 0
        assert self("distil", "plan", self.sealed, self.plan, *self.texts) == 0
        made = read_plan(self.plan)
        edited = gated.plan(teacher=made.teacher, model=made.model, records=made.records)
        corpus_digest = made.corpus  # type: ignore[union-attr]
        edited = msgspec.structs.replace(edited, corpus=corpus_digest)
        self.plan.write_bytes(msgspec.json.encode(edited))
        self.write(self.student, Told(edited.digest, edited.asked))

    def write(self, folder: Path, told: Told, *, teacher: bool = False) -> None:
        folder.mkdir()
        model = gated.teacher() if teacher else gated.untaught()
        for name, content in files_of(model, told).items():
            if not teacher or name != "student.json":
                (folder / name).write_bytes(content)

    def __call__(self, *words: str | Path) -> int:
        return run(["--home", str(self.home), *map(str, words)])

    def on(self, verb: str, *words: str | Path) -> int:
        texts = () if verb == "register" else self.texts
        return self("distil", verb, self.sealed, self.plan, self.student, *texts, *words)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return Owner(tmp_path_factory.mktemp("owner"))


def test_registered_before_released(owner: Owner, capfd: pytest.CaptureFixture[str]) -> None:
    def refusal() -> str:
        return capfd.readouterr().err

    refusal()
    assert owner.on("release") == 11
    assert "distil.not_registered" in refusal()
    assert owner.on("register") == 11  # nobody's key marks anything here
    assert "distil.watermark_not_registered" in refusal()
    assert owner("watermark", "secret") == 0
    capfd.readouterr()
    assert owner.on("register", "--org", "acme", "--json") == 0
    fixed = json.loads(capfd.readouterr().out)["index"]
    assert len(fixed["watermark_keys"]) == 2  # one of each scheme
    assert owner.on("register", "--org", "acme", "--json") == 0
    assert json.loads(capfd.readouterr().out)["index"] == fixed  # the first ones count
    (kept,) = (owner.home / "keys").glob("student-*.fingerprint")
    away = kept.rename(kept.with_name("elsewhere"))
    assert owner.on("release") == 11
    assert "distil.fingerprint_not_registered" in refusal()
    away.rename(kept)
    assert owner.on("release") == 0
    assert owner("distil", "verify", owner.student) == 0
    said = capfd.readouterr().out
    assert f"record {fixed['weights']}, its fingerprint {fixed['fingerprint']}" in said
    public = bytes.fromhex((owner.home / "keys" / "audit.pub").read_text())
    statement = owner.student / "release.json"
    stated = checked(owner.student, statement, public)
    assert isinstance(stated, LanguageRelease)
    assert msgspec.to_builtins(stated.registered) == {
        **fixed, "watermark_keys": tuple(fixed["watermark_keys"])
    }  # fmt: skip
    row = next(each for each in gathered([statement], public, stated.plan.teacher))
    assert (row.kind, row.outcome, row.grade) == ("student", "passed", "measured")
    for name in ("tokenizer.json", "config.json"):
        path = owner.student / name
        raw = path.read_bytes()
        path.write_bytes(raw + b" ")
        assert owner("distil", "verify", owner.student) == 11, name
        path.write_bytes(raw)
    path = owner.student / "model.safetensors"
    tensors = load_file(path)
    save_file({name: value + 1e-3 for name, value in tensors.items()}, path)
    assert owner("distil", "verify", owner.student) == 11
    capfd.readouterr()
    assert owner.on("release") == 11
    assert "distil.not_registered" in refusal()
