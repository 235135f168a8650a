"""The drill's adapters are real ones: by the owner's limits, and without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from keeper.engine.models import config_bytes
from safetensors.torch import save_file

from strongroom.cli import audit_exports
from strongroom.cli.audit_exports import make_exports
from strongroom.errors import ExposureRefused, RequestRefused
from strongroom.exposure.attacks.language.gradient_oracle import GradientOracle
from strongroom.exposure.audit import measure
from strongroom.exposure.cell import Cell
from strongroom.exposure.interface import Knows
from strongroom.exposure.judge.activations import EXACT, Exports
from strongroom.exposure.ladder import Rung
from strongroom.exposure.plan import Planned
from strongroom.exposure.subjects.interface import SCALES
from strongroom.exposure.subjects.language import LanguageSubject
from strongroom.tune.policy import Floors, Policy, Tuning
from tests.tune.tiny import tiny as decoder

from . import tiny

FLOORS = Floors(distinct_per_step=16, supervised_per_step=64)
POLICY = Policy(rank=8, floors=FLOORS)
MODULE, CONFIG, TENSORS = decoder()


@pytest.fixture(scope="module")
def exports() -> Exports:
    return make_exports(CONFIG, TENSORS, Tuning(policy=POLICY), 1, jobs=2)


def cell(exports: Any) -> Cell:
    subject = LanguageSubject(
        tiny.language(tiny.base()), None, None, SCALES["quick"], {}, exports=exports
    )
    planned = Planned(GradientOracle(), Rung.ADAPTER, Knows.NOTHING)
    return measure(subject, planned, SCALES["quick"], seed=0, command="x", versions={})


def test_unguarded_adapters_are_read_exactly_and_guarded_ones_are_not(exports: Exports) -> None:
    found = cell(lambda: exports)
    assert found.status == "measured", found.why
    head, beside = found.figures
    assert beside.measured.interval.low >= EXACT
    assert head.measured.value < EXACT
    assert (head.measured.n, beside.measured.n) == (2, 2)
    assert "first layer" in found.why


def test_guarded_adapters_are_trained_by_the_owners_limits(exports: Exports) -> None:
    guarded = {name: each for name, each in exports.tensors.items() if name.startswith("export")}
    assert len(guarded) == 4
    assert {each.shape[0] for name, each in guarded.items() if name.endswith("/a")} == {8}
    assert {str(each.dtype) for each in guarded.values()} == {"torch.bfloat16"}


def test_a_policy_that_lets_nothing_be_read_is_not_measured() -> None:
    closed = msgspec.structs.replace(POLICY, modules=("down_proj",))
    with pytest.raises(ExposureRefused, match="lets v_proj be tuned"):
        make_exports(CONFIG, TENSORS, Tuning(policy=closed), 1)


def test_floors_that_no_such_data_meet_refuse_the_job() -> None:
    floors = msgspec.structs.replace(FLOORS, one_token=0.1)
    strict = msgspec.structs.replace(POLICY, floors=floors)
    with pytest.raises(RequestRefused) as caught:
        make_exports(CONFIG, TENSORS, Tuning(policy=strict), 1)
    assert caught.value.code == "tune.one_token_dominates"


def test_without_adapters_the_cell_says_what_makes_them() -> None:
    found = cell(None)
    assert found.status == "unknown"
    assert "--budget standard" in found.why


def test_what_lies_in_the_cache_is_what_was_made(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes(config_bytes(MODULE))
    save_file({name: each.clone() for name, each in TENSORS.items()}, model / "model.safetensors")
    monkeypatch.setattr(audit_exports, "make_exports", lambda *given: exports)
    said: list[str] = []
    made, kept = (audit_exports.demo_exports(model, said.append) for _ in range(2))
    assert len(said) == 1
    assert (made.tensors.keys(), made.leaving) == (kept.tensors.keys(), kept.leaving)
    assert kept.entered.keys() == exports.entered.keys()
