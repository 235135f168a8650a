"""Gates fail closed, rungs never score better for giving more, and finished cells survive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.data import read_corpus, read_records
from strongroom.exposure.gate import exceeded, read_gate
from strongroom.exposure.ladder import Rung
from strongroom.exposure.plan import rungs_named
from strongroom.exposure.registry import chosen
from strongroom.exposure.resume import Journal

from .made import cell, results

GOOD = """
[[limit]]
family = "membership"
severity = "medium"

[[limit]]
attack = "cloning"
metric = "agreement"
at_most = 0.9
"""
CLONED = cell("cloning", "cloning", "label", 0.85, "high", metric="agreement")
LOOSE = cell("cloning", "cloning", "logits", 0.95, "critical", metric="agreement")


@pytest.fixture
def gate(tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "gate.toml"
    path.write_text(GOOD)
    return read_gate(path)


def test_a_gate_holds_under_the_default_and_fails_when_loosened(gate) -> None:  # type: ignore[no-untyped-def]
    cells = (cell(), CLONED, LOOSE)
    assert exceeded(gate, results(*cells, granted="label")) == []
    (line,) = exceeded(gate, results(*cells, granted="logits"))
    assert line == "cloning at logits: cloning reaches agreement 0.950, the limit is 0.9"


def test_severity(gate) -> None:  # type: ignore[no-untyped-def]
    (line,) = exceeded(gate, results(cell(severity="high"), CLONED))
    assert line == "membership at label: membership-loss is high, the limit is medium"


@pytest.mark.parametrize("status", ["not_measurable", "refused", "unknown", "not_run"])
def test_what_was_not_measured_is_exceeded(gate, status) -> None:  # type: ignore[no-untyped-def]
    (line,) = exceeded(gate, results(cell(status=status), CLONED))
    assert "nothing was measured" in line


def test_a_family_that_needs_a_higher_rung_holds_and_an_absent_one_does_not(gate) -> None:  # type: ignore[no-untyped-def]
    assert exceeded(gate, results(cell(), LOOSE, granted="label")) == []
    (line,) = exceeded(gate, results(cell(), granted="label"))
    assert "cloning at label: nothing was measured" in line


def test_a_metric_that_nobody_has_is_exceeded(gate) -> None:  # type: ignore[no-untyped-def]
    other = cell("cloning", "cloning", "label", 0.1, "none", metric="accuracy")
    (line,) = exceeded(gate, results(cell(), other))
    assert "no cell has the metric agreement" in line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "limit = 3",
        "[[limit]]\nfamily='x'",
        "[[limit]]\nat_most=1",
        "[[limit]]\nfamily='x'\nattack='y'\nat_most=1",
        "[[limit]]\nfamily='x'\nrung='high'\nat_most=1",
        "[[limit]]\nfamily='x'\nat_most=1\nextra=2",
        "[[limit]]\nfamily='x'\nseverity='bad'",
        "not toml",
    ],
)
def test_bad_gates(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    with pytest.raises(ExposureRefused) as caught:
        read_gate(path)
    assert caught.value.code == "exposure.bad_gate"
    with pytest.raises(ExposureRefused):
        read_gate(tmp_path / "absent.toml")


def test_a_rung_takes_the_worst_of_what_it_allows() -> None:
    low = cell("a", rung="label", value=0.8)
    high = cell("a", rung="logits", value=0.55)
    found = results(low, high)
    assert found.worst("membership", Rung.LOGITS) == low
    assert found.worst("membership", Rung.LABEL) == low
    assert found.worst("membership", Rung.STUDENT) is None
    assert found.worst("membership", Rung.WEIGHTS) == low


def test_finished_cells_survive_and_a_torn_line_does_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "audits", {"model": "a"})
    assert journal.finished() == {}
    first, second = cell("one"), cell("two")
    journal.keep(first)
    journal.keep(second)
    (path,) = (tmp_path / "audits").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    again = Journal(tmp_path / "audits", {"model": "a"})
    assert again.finished() == {first.key: first}
    again.keep(second)
    assert again.finished() == {first.key: first, second.key: second}
    assert Journal(tmp_path / "audits", {"model": "b"}).finished() == {}
    again.forget()
    assert again.finished() == {}


def records(path: Path, **changes: object) -> Path:
    fields: dict[str, object] = {
        "inputs": np.zeros((6, 1, 8, 8), np.float32),
        "labels": np.arange(6),
        "member": np.array([1, 1, 1, 0, 0, 0]),
    }
    fields |= changes
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_records(tmp_path: Path) -> None:
    found = read_records(records(tmp_path / "good.npz"), (1, 8, 8), 10)
    assert len(found.records) == 6
    assert found.member.sum() == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"inputs": np.zeros((6, 64), np.float32)}, "exposure.data_unfit"),
        ({"labels": np.arange(6) + 5}, "exposure.data_unfit"),
        ({"labels": np.arange(6) / 2}, "exposure.data_unfit"),
        ({"member": np.arange(6)}, "exposure.data_unfit"),
        ({"member": np.ones(5)}, "exposure.data_unfit"),
        ({"inputs": np.full((6, 1, 8, 8), np.nan)}, "exposure.data_unfit"),
        ({"member": None}, "exposure.data_unreadable"),
        ({"member": np.array([object()] * 6)}, "exposure.data_unreadable"),
    ],
)
def test_bad_records(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    path = records(tmp_path / "bad.npz", **changes)
    with pytest.raises(ExposureRefused) as caught:
        read_records(path, (1, 8, 8), 10)
    assert caught.value.code == code


def test_a_corpus_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'{"text":"a","member":true}\n{"\xebind":"b"}\n')
    with pytest.raises(ExposureRefused) as caught:
        read_corpus(path)
    assert caught.value.code == "exposure.data_unfit"
    assert "line 2" in str(caught.value)


def test_files_that_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 broken")
    for name in ("x.npz", "absent.npz"):
        with pytest.raises(ExposureRefused) as caught:
            read_records(tmp_path / name, (1, 8, 8), 10)
        assert caught.value.code == "exposure.data_unreadable"


def test_a_corpus(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(
        '{"text": "one", "member": true}\n\n{"prefix": "p ", "secret": "12", "copies": 4}\n'
    )
    found = read_corpus(path)
    assert (len(found.texts), found.canaries[0].copies) == (1, 4)
    for bad in ("", "x", '{"text": "a"}', '{"prefix": "p", "secret": "x1", "copies": 1}'):
        path.write_text(bad)
        with pytest.raises(ExposureRefused) as caught:
            read_corpus(path)
        assert caught.value.code == "exposure.data_unfit"


def test_names() -> None:
    assert [a.name for a in chosen("classifier", ("membership-l",))] == [
        "membership-loss",
        "membership-lira",
        "membership-label",
    ]
    assert {a.family.value for a in chosen("classifier", ("cloning",))} == {"cloning"}
    assert rungs_named(("label",)) == (Rung.LABEL,)
    for bad, code in ((chosen, "exposure.unknown_attack"),):
        with pytest.raises(ExposureRefused) as caught:
            bad("classifier", ("guess",))
        assert caught.value.code == code
    with pytest.raises(ExposureRefused) as caught:
        rungs_named(("top9",))
    assert caught.value.code == "exposure.unknown_rung"


def test_results_survive_a_round_trip() -> None:
    found = results(cell(), LOOSE)
    raw = msgspec.json.encode(found)
    assert msgspec.json.decode(raw, type=type(found)) == found
