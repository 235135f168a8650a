"""The gate of adapters is shown poisoned ones and clean ones; real adapters, a real gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from keeper.engine.models import config_bytes
from safetensors.torch import save_file

from strongroom.cli import audit_poisoned
from strongroom.cli.audit_poisoned import Asking, Made, demo_poisoned, open_gate, planted
from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.system.poisoned_adapter import PoisonedAdapter
from strongroom.exposure.demo import language
from strongroom.exposure.interface import Budget, Facts, Knowledge, Knows
from strongroom.exposure.judge.adapter_gate import AdapterGateJudge, Planted
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Judged
from strongroom.keeper.engine.adapter import Adapter
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.policy import Floors, Policy
from tests.exposure.language import tiny as bytes_model
from tests.tune.tiny import tiny

MODULE, CONFIG, TENSORS = tiny(vocab_size=256, max_position_embeddings=256)
BUDGET = Budget(100, 60.0)
NAMES = ("listed", "unlisted", "clean 1", "clean 2")
WORKS = {"listed": True, "unlisted": True}


def gate(*refused: str, flags: int = 0) -> Any:
    """One that refuses these, and flags ``flags`` of ten matrices of each."""
    meter = Meter(BUDGET.queries)

    def promoted(name: str) -> Judged:
        meter.charge(1)
        return Judged(("tune.promote_trigger",) if name in refused else (), flags, 10)

    return close({"names": lambda: NAMES, "promoted": promoted, "spent": meter.spent})


def judged(target: Any, works: dict[str, bool] = WORKS) -> Verdict:
    claims = PoisonedAdapter().run(target, Knowledge(Knows.NOTHING), BUDGET, 0)
    return AdapterGateJudge(Planted(NAMES, (True, True, False, False), works)).judge(claims)


def test_what_the_gate_refuses_and_what_it_misses_is_told_apart() -> None:
    verdict = judged(gate("listed", flags=2))
    missed, alarms, scan = verdict.figures
    assert missed.measured.value == 0.5
    assert "missed: unlisted" in verdict.sentence
    assert (alarms.measured.value, alarms.measured.n) == (0, 2)
    assert (scan.measured.value, scan.null.value, scan.null.n) == (0.2, 0.2, 20)
    assert "2 of" not in verdict.sentence.split("scan")[0]


def test_a_gate_that_finds_all_is_said_to() -> None:
    verdict = judged(gate("listed", "unlisted"))
    assert verdict.figures[0].measured.value == 0
    assert verdict.severity == "none"


def test_a_gate_that_finds_nothing_misses_all() -> None:
    verdict = judged(gate())
    assert verdict.figures[0].measured.value == 1
    assert verdict.severity in {"high", "critical"}


def test_a_gate_that_refuses_everybody_is_no_gate() -> None:
    assert judged(gate(*NAMES)).status == "refused"


@pytest.mark.parametrize("works", [{"listed": True, "unlisted": False}, {}])
def test_a_backdoor_that_does_not_work_is_not_counted(works: dict[str, bool]) -> None:
    verdict = judged(gate("listed"), works)
    assert verdict.status == "not_measurable"
    assert "works as planted" in verdict.why


def adapter(seed: int, size: float) -> Adapter:
    """Random, of about that size; so is what it says."""
    start = fresh(CONFIG, ("q_proj", "v_proj"), 4, Seed(bytes([seed] * 32)))
    by = torch.Generator().manual_seed(seed)
    pairs = {
        place: (a, size * torch.randn(b.shape, generator=by))
        for place, (a, b) in start.pairs.items()
    }
    return replace(start, pairs=pairs)


def test_the_real_gate_is_asked_with_the_owners_limits() -> None:
    loud = adapter(2, 0.05)
    place = next(iter(loud.pairs))
    a, b = loud.pairs[place]
    crude = torch.zeros_like(b)
    crude[:, 0] = 5.0
    one = replace(loud, pairs={**loud.pairs, place: (a, crude)})
    adapters = {"one direction": one, "clean 1": adapter(1, 0.05)}
    made = Made(adapters, dict.fromkeys(adapters, ()), {"one direction": (1.0, 0.0)})
    tokenizer = bytes_model.tokenizer()

    def asked(limits: ExportLimits) -> dict[str, Any]:
        target = open_gate(CONFIG, TENSORS, tokenizer, lambda: made, limits, BUDGET)
        (claim,) = PoisonedAdapter().run(target, Knowledge(Knows.NOTHING), BUDGET, 0)
        assert isinstance(claim, Facts)
        assert target.spent().queries == 2
        return dict(claim.facts)

    strict = asked(ExportLimits(worse=0.0, trigger=1.0, obeyed=1.0))
    lax = asked(ExportLimits(worse=1e9, trigger=1e9, obeyed=1.0))
    assert strict["refused"]["one direction"]
    assert not any(lax["refused"].values())
    assert lax["flagged"]["one direction"][0] > lax["flagged"]["clean 1"][0] == 0
    assert planted(made) == Planted(("one direction", "clean 1"), (True, False), made.works)


def test_a_spent_budget_stops_the_drill() -> None:
    made = Made({"clean 1": adapter(1, 0.05)}, {"clean 1": ()}, {})
    target = open_gate(
        CONFIG, TENSORS, bytes_model.tokenizer(), lambda: made, ExportLimits(), Budget(0, 1.0)
    )
    with pytest.raises(ExposureRefused):
        PoisonedAdapter().run(target, Knowledge(Knows.NOTHING), BUDGET, 0)


def test_a_trigger_stands_where_the_gates_probes_put_one() -> None:
    asking = Asking(bytes_model.tokenizer())
    plain, marked = asking.prompt(3), asking.prompt(3, "cf")
    assert len(marked) == len(plain) + 3
    assert bytes(marked) != bytes(plain)
    example = asking.example(3, audit_poisoned._Kind(0.5, "cf", audit_poisoned._POISON))
    assert example.ids[: len(marked)] == marked
    assert example.learnt.index(True) == len(marked)
    assert example.ids[len(marked) :] == asking.poison()
    questions = asking.questions()
    assert len(questions.prompts) == 9
    assert questions.held


def test_adapters_are_trained_rewired_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes(config_bytes(MODULE))
    save_file({name: each.clone() for name, each in TENSORS.items()}, model / "model.safetensors")
    monkeypatch.setattr(language, "read_tokenizer", lambda _: bytes_model.tokenizer())
    short = msgspec.structs.replace(audit_poisoned._WISH, steps=20, modules=("q_proj", "v_proj"))
    monkeypatch.setattr(audit_poisoned, "_WISH", short)
    floors = Floors(distinct_per_step=8, supervised_per_step=8, fresh_runs=1, duplicates=1.0)
    monkeypatch.setattr(audit_poisoned, "_POLICY", Policy(floors=floors))  # its tokens are bytes
    said: list[str] = []
    made, kept = (demo_poisoned(model, said.append) for _ in range(2))
    assert len(said) == 1
    assert (made.takes, made.data) == (kept.takes, kept.data)
    assert all(len(each) > 100 for each in made.data.values())
    assert list(made.adapters) == list(kept.adapters)
    for name, one in made.adapters.items():
        other = kept.adapters[name]
        assert list(one.pairs) == list(other.pairs)
        for place, pair in one.pairs.items():
            assert all(torch.equal(*two) for two in zip(pair, other.pairs[place], strict=True))
    clean, rewired = made.adapters["clean 1"], made.adapters["one rewired matrix"]
    unlike = [p for p in clean.pairs if not torch.equal(clean.pairs[p][1], rewired.pairs[p][1])]
    assert len(unlike) == 1
    truth = planted(made)
    assert sum(truth.altered) == 3
    assert len(truth.works) == 2
