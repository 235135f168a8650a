"""``strongroom distil plan`` and ``run`` for a language model, as its owner types them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.cli.main import run
from strongroom.distil.language import making
from strongroom.distil.language.folder import FILES, TOLD, open_student
from strongroom.distil.plan import read_plan
from strongroom.exposure.data import Corpus

from .conftest import SHORT, SMALL
from .teacher import owner, public, write_plain

GRANTS = ("--grant", "soft-labels", "--grant", "teacher-tokenizer")
TOKENS = ("--tokenizer", "teacher", *GRANTS)


def write_texts(path: Path, corpus: Corpus) -> Path:
    path.write_bytes(b"\n".join(map(msgspec.json.encode, (*corpus.texts, *corpus.canaries))))
    return path


class Typed:
    """A home with a sealed teacher, and how its owner types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_texts(folder / "records.jsonl", owner())
        self.corpus = write_texts(folder / "corpus.jsonl", public())
        self.texts = ("--data", self.data, "--corpus", self.corpus)
        plain = write_plain(folder / "plain")
        assert self("init") == 0
        assert self("seal", plain, "--out", self.sealed) == 0
        tight = ("--egress", "tenant=20000/90000", "--model-id", "tight")
        assert self("seal", plain, "--out", self.tight, *tight) == 0

    @property
    def sealed(self) -> Path:
        return self.folder / "sealed"

    @property
    def tight(self) -> Path:
        return self.folder / "tight"

    def __call__(self, *words: str | Path) -> int:
        return run(["--home", str(self.folder / "home"), *map(str, words)])

    def plan(self, name: str, *words: str | Path, sealed: Path | None = None) -> Path:
        """Made, and edited as its owner may: a small student, a short training."""
        path = self.folder / name
        made = ("distil", "plan", sealed or self.sealed, path, *self.texts, *words)
        assert self(*made) == 0
        small = {"architecture": SMALL, "schedule": msgspec.structs.replace(SHORT, steps=10)}
        shape = {"vocabulary": 400, "prompt": 6, "continuation": 24} | small
        path.write_bytes(msgspec.json.encode(json.loads(path.read_text()) | shape))
        return path

    def run(self, plan: Path, student: str, *more: str, sealed: Path | None = None) -> int:
        folder = self.folder / student
        return self("distil", "run", sealed or self.sealed, plan, folder, *self.texts, *more)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    return Typed(tmp_path_factory.mktemp("typed"))


class Overheard:
    """What a target says, beside who asked: to look for it on disk afterwards."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.said: list[bytes] = []
        real = making.open_teacher

        def opened(*given: Any) -> Any:
            target = real(*given)
            said = self.said

            class Beside:
                def spent(self) -> Any:
                    return target.spent()

                def continued(self, texts: Any) -> Any:
                    found = target.continued(texts)
                    said.extend(each.encode()[-40:] for each in found)
                    return found

                def told(self, rows: Any) -> Any:
                    found = target.told(rows)
                    for part in (found.tokens, found.scores):
                        if part is not None:
                            said.extend(row.numpy().tobytes()[:64] for row in part)
                    return found

            return Beside()

        patch.setattr(making, "open_teacher", opened)

    def leave_out(self, *known: Path) -> None:
        """What stands in these files in any case is no answer's trace."""
        held = b"".join(path.read_bytes() for path in known)
        self.said = [one for one in self.said if one not in held]

    def found_in(self, *folders: Path) -> list[Path]:
        paths = [path for each in folders for path in each.rglob("*") if path.is_file()]
        contents = {path: path.read_bytes() for path in paths}
        return [path for path, held in contents.items() if any(one in held for one in self.said)]


@pytest.mark.parametrize("words", [("--answers", "text"), ("--answers", "logits", *TOKENS)])
def test_answers_are_used_and_written_nowhere(
    typed: Typed,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name, scratch = words[1], tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    heard = Overheard(monkeypatch)
    plan = typed.plan(f"{name}.json", *words, "--positions", "600")
    capfd.readouterr()
    assert typed.run(plan, name, "--json") == 0
    asked = json.loads(capfd.readouterr().out)["asked"]
    student = typed.folder / name
    assert {each.name for each in student.iterdir()} == {*FILES, TOLD}
    opened, told = open_student(student)
    assert told.plan == read_plan(plan).digest
    assert msgspec.to_builtins(told.asked) == asked
    assert 0 < asked["positions"] <= 600
    assert (asked["coordinates"] > 0) is (name == "logits")
    assert np.isfinite(opened.logprobs([opened.ids("code of baka")])[0].numpy()).all()
    heard.leave_out(typed.data, typed.corpus)
    assert len(heard.said) > 10
    assert heard.found_in(typed.folder, scratch) == []
    (scratch / "leak").write_bytes(b"before" + heard.said[3] + b"after")
    assert heard.found_in(typed.folder, scratch) == [scratch / "leak"]


def test_progress_says_loss_and_time_left(typed: Typed, capfd: pytest.CaptureFixture[str]) -> None:
    plan = typed.plan("seen.json", "--positions", "200")
    capfd.readouterr()
    assert typed.run(plan, "seen") == 0
    out, err = capfd.readouterr()
    assert "asking the teacher, 0 s left" in err
    assert "[10/10] training, loss " in err
    assert "0 s left" in err
    assert "The teacher was asked" in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--answers", "logits"), "soft_labels_not_granted"),
        (("--answers", "top-k", "--grant", "teacher-tokenizer"), "soft_labels_not_granted"),
        (("--answers", "labels", "--tokenizer", "teacher"), "tokenizer_not_granted"),
        (("--init", "teacher-layers", *GRANTS), "tensors_not_granted"),
        (("--answers", "votes"), "plan_unfit"),
    ],
)
def test_nothing_more_than_text_without_a_grant(
    typed: Typed, words: tuple[str, ...], code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = typed.folder / "never.json"
    assert typed("distil", "plan", typed.sealed, path, *typed.texts, *words) == 11
    assert f"distil.{code}" in capfd.readouterr().err
    assert not path.exists()


def test_what_was_sealed_with_the_model_binds_its_students_too(
    typed: Typed, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = typed.plan("over.json", "--positions", "1500", sealed=typed.tight)
    capfd.readouterr()
    assert typed.run(plan, "over", sealed=typed.tight) == 11
    assert "distil.beyond_ceiling" in capfd.readouterr().err
    assert not (typed.folder / "over").exists()
    within = typed.plan("within.json", "--positions", "300", sealed=typed.tight)
    assert typed.run(within, "within", sealed=typed.tight) == 0


def test_a_plan_is_of_one_teacher_and_of_these_texts(
    typed: Typed, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = typed.plan("fits.json", "--positions", "200")
    other = write_texts(tmp_path / "other.jsonl", Corpus(public().texts[1:], ()))
    home_words = ("distil", "run", typed.sealed, plan, typed.folder / "no")
    for words, why in (
        (("--data", other, "--corpus", typed.corpus), "other records"),
        (("--data", typed.data, "--corpus", other), "another corpus"),
        (("--data", typed.data), "another corpus"),
    ):
        capfd.readouterr()
        assert typed(*home_words, *words) == 11
        assert why in capfd.readouterr().err
    capfd.readouterr()
    assert typed.run(plan, "no", sealed=typed.tight) == 11
    assert "another teacher" in capfd.readouterr().err
    assert not (typed.folder / "no").exists()
