"""What lies beyond a limit is refused, each with its code; no policy opens the unembedding."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.errors import RequestRefused
from strongroom.tune.policy import Floors, Policy, Wish, grant, parse_wish


def test_what_is_within_limits_is_granted() -> None:
    recipe = grant(Wish(rank=16, modules=("v_proj", "q_proj"), rate=1e-3, steps=20), Policy())
    assert (recipe.rank, recipe.alpha, recipe.batch) == (16, 32, 256)
    assert recipe.modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"rank": 17}, "tune.rank_refused"),
        ({"rank": 0}, "tune.rank_refused"),
        ({"modules": ("lm_head",)}, "tune.modules_refused"),
        ({"modules": ("q_proj", "embed_tokens")}, "tune.modules_refused"),
        ({"modules": ()}, "tune.modules_refused"),
        ({"rate": 0.1}, "tune.rate_refused"),
        ({"rate": float("nan")}, "tune.rate_refused"),
        ({"rate": 0.0}, "tune.rate_refused"),
        ({"steps": 19}, "tune.steps_refused"),
        ({"steps": 10**6}, "tune.steps_refused"),
        ({"batch": 255}, "tune.batch_refused"),
        ({"batch": 10**6}, "tune.batch_refused"),
    ],
)
def test_each_limit_has_its_refusal(wish: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        grant(Wish(**wish), Policy())
    assert caught.value.code == code


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'{"epsilon": 1.0}', b'{"seed": 1}', b'{"rank": "8"}', b'{"optimiser": "sgd"}'],
)
def test_a_customer_chooses_neither_optimiser_nor_epsilon_nor_seed(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse_wish(raw)
    assert caught.value.code == "tune.request_malformed"
    assert parse_wish(b'{"rank": 4}').rank == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"modules": ("lm_head",)},
        {"modules": ()},
        {"least_rate": 1.0},
        {"least_steps": 99_999},
        {"floors": Floors(distinct_per_step=9_999)},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused) as caught:
        Policy(**fields)
    assert caught.value.code == "tune.policy_malformed"
