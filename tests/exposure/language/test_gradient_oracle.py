"""One plain step gives the first layer's inputs; after an adaptive one nothing is claimed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from strongroom.exposure.attacks.language.gradient_oracle import GradientOracle
from strongroom.exposure.attacks.language.lora import LowRank
from strongroom.exposure.interface import Facts, Knowledge, Knows
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.ladder import Rung
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


def found(adapter: dict[str, torch.Tensor]) -> float:
    target = open_language(tiny.language(tiny.base()), Rung.ADAPTER, tiny.PLENTY, adapter=adapter)
    (claim,) = GradientOracle().run(target, Knowledge(Knows.NOTHING), tiny.PLENTY, 0)
    assert isinstance(claim, Facts)
    truths = {f"input/{token}": Truth(inputs(token), within=1e-3) for token in TOKENS}
    return FactsJudge(truths, "the base").judge([claim]).figures[0].measured.value


def exported(job: object, jobs: int = JOBS) -> dict[str, torch.Tensor]:
    made = {}
    for token in TOKENS:
        for number in range(jobs):
            made[f"{token}/{number}/a"], made[f"{token}/{number}/b"] = job(token, number)  # type: ignore[operator]
    return made


def test_positive_control_one_plain_step_hands_over_the_embeddings() -> None:
    assert found(exported(lambda t, n: own_job(t, n, torch.optim.SGD))) == 1.0


def test_positive_control_with_peft() -> None:
    assert found(exported(peft_job)) == 1.0


def test_negative_control_an_adaptive_step_or_too_few_jobs_give_nothing() -> None:
    assert found(exported(lambda t, n: own_job(t, n, torch.optim.AdamW))) == 0.0
    assert found(exported(lambda t, n: own_job(t, n, torch.optim.SGD), 6)) == 0.0


def test_negative_control_adapters_of_chance_give_nothing() -> None:
    by = torch.Generator().manual_seed(0)
    noise = exported(
        lambda t, n: (
            torch.randn(RANK, tiny.HIDDEN, generator=by),
            torch.randn(24, RANK, generator=by),
        )
    )
    assert found(noise) == 0.0
