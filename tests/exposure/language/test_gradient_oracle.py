"""One plain step gives the first layer's inputs; the judge tells what is read from what is not."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from strongroom.exposure.attacks.language.gradient_oracle import GradientOracle
from strongroom.exposure.attacks.language.lora import LowRank
from strongroom.exposure.attacks.language.merged_adapters import by_weight
from strongroom.exposure.interface import Facts, Knowledge, Knows
from strongroom.exposure.judge.activations import ActivationsJudge, Exports
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.ladder import Rung
from strongroom.exposure.measurement.direction import apart, shared
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

TOKENS, JOBS, RANK = (70, 80, 90), 7, 8
PLACE = "model.layers.0.self_attn.v_proj"


def inputs(token: int) -> np.ndarray:
    """The truth: the token's embedding after the first norm, of unit length."""
    model = tiny.base().model
    with torch.no_grad():
        x = model.layers[0].input_layernorm(model.embed_tokens(torch.tensor([token])))[0]
    unit = (x / x.norm()).double().numpy()
    return unit * np.sign(unit[np.abs(unit).argmax()])


def own_job(token: int, job: int, kind: type[torch.optim.Optimizer]) -> tuple[torch.Tensor, ...]:
    """One step on one token with our own adapter."""
    module = copy.deepcopy(tiny.base()).requires_grad_(False)
    torch.manual_seed(job)
    adapted = LowRank(module.get_submodule(PLACE), RANK)
    module.set_submodule(PLACE, adapted)
    step = kind([adapted.a, adapted.b], lr=0.1)
    logits = module(input_ids=torch.tensor([[token]])).logits[0]
    torch.nn.functional.cross_entropy(logits, torch.tensor([65])).backward()
    step.step()
    return adapted.a.detach(), adapted.b.detach()


def peft_job(token: int, job: int) -> tuple[torch.Tensor, ...]:
    """The same with PEFT itself."""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    torch.manual_seed(job)
    config = peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=["v_proj"], lora_dropout=0.0)
    module = peft.get_peft_model(copy.deepcopy(tiny.base()), config)
    step = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    logits = module(input_ids=torch.tensor([[token]])).logits[0]
    torch.nn.functional.cross_entropy(logits, torch.tensor([65])).backward()
    step.step()
    exported = peft.get_peft_model_state_dict(module)
    (a,) = (v for name, v in exported.items() if PLACE in name and "lora_A" in name)
    (b,) = (v for name, v in exported.items() if PLACE in name and "lora_B" in name)
    return a.detach(), b.detach()


Job = Callable[[int, int], tuple[torch.Tensor, ...]]


def plain(token: int, job: int) -> tuple[torch.Tensor, ...]:
    return own_job(token, job, torch.optim.SGD)


def adaptive(token: int, job: int) -> tuple[torch.Tensor, ...]:
    return own_job(token, job, torch.optim.AdamW)


def noise(token: int, job: int) -> tuple[torch.Tensor, ...]:
    by = torch.Generator().manual_seed(1000 * token + job)
    return torch.randn(RANK, tiny.HIDDEN, generator=by), torch.randn(24, RANK, generator=by)


def exported(job: Job, jobs: int, sort: str) -> dict[str, torch.Tensor]:
    made = {}
    for token in TOKENS:
        for number in range(jobs):
            name = f"{sort}-{token}/{number}"
            made[f"{name}/a"], made[f"{name}/b"] = job(token, number)
    return made


def claimed(adapter: dict[str, torch.Tensor]) -> Facts:
    target = open_language(tiny.language(tiny.base()), Rung.ADAPTER, tiny.PLENTY, adapter=adapter)
    (claim,) = GradientOracle().run(target, Knowledge(Knows.NOTHING), tiny.PLENTY, 0)
    assert isinstance(claim, Facts)
    return claim


OTHERS = np.array([inputs(token) for token in range(256) if token not in TOKENS])


def read(job: Job, jobs: int = JOBS) -> float:
    """The mean cosine with the truth, without what all tokens share."""
    claim, common = claimed(exported(job, jobs, "export")), shared(OTHERS)
    own = [apart(claim.facts[f"export-{t}"], inputs(t)[None], common)[0] for t in TOKENS]
    return float(np.mean(own))


def test_positive_control_one_plain_step_hands_over_the_embeddings() -> None:
    assert read(plain) > 0.9999


def test_positive_control_with_peft() -> None:
    assert read(peft_job) > 0.9999


def test_an_adaptive_step_hides_the_size_of_what_entered_and_not_its_direction() -> None:
    assert 0.35 < read(adaptive) < 0.99


def test_too_few_jobs_give_a_part() -> None:
    assert 0.2 < read(plain, 1) < read(plain, 3) < 0.99


def test_negative_control_adapters_of_chance_give_nothing() -> None:
    assert read(noise) < 0.35  # in 48 dimensions a cosine of 0.14 is usual


def judged(guarded: Job, jobs: int = 1, control: Job = plain) -> Verdict:
    tensors = exported(control, JOBS, "plain") | exported(guarded, jobs, "export")
    exports = Exports(
        tensors=tensors,
        entered={
            f"{sort}-{token}": inputs(token) for sort in ("plain", "export") for token in TOKENS
        },
        unguarded=frozenset(f"plain-{token}" for token in TOKENS),
        others=OTHERS,
        leaving=2,
        why="Made for a test.",
    )
    return ActivationsJudge(exports).judge([claimed(tensors)])


def test_the_judge_shows_what_unguarded_adapters_hand_over() -> None:
    verdict = judged(plain, JOBS)
    head, beside = verdict.figures
    assert head.measured.value > 0.99
    assert beside.measured.value > 0.99
    assert head.null.value < 0.3
    assert head.p_value < 0.01
    assert verdict.severity in {"high", "critical"}
    assert "would let 2 of 3 leave" in verdict.sentence


def test_the_judge_finds_nothing_in_adapters_of_chance() -> None:
    verdict = judged(noise)
    assert verdict.status == "measured"
    assert verdict.severity in {"none", "low"}
    assert verdict.figures[0].p_value > 0.05


def test_an_attack_that_fails_where_it_must_not_shows_nothing() -> None:
    verdict = judged(noise, control=adaptive)
    assert verdict.status == "not_measurable"
    assert "says nothing" in verdict.why


def test_a_claim_of_another_shape_is_no_claim() -> None:
    exports = Exports({}, {"plain-70": inputs(70)}, frozenset({"plain-70"}), OTHERS, 0)
    with pytest.raises(TypeError):
        ActivationsJudge(exports).judge([Facts(1, {"plain-70": np.zeros(3)})])


def test_merges_and_adapters_are_told_apart_by_their_names() -> None:
    merged = {f"{n}/w": torch.eye(2) for n in range(3)}
    assert list(by_weight(merged | exported(noise, 1, "export"))) == ["w"]
