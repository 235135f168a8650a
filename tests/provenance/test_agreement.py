"""Answers that follow a model are told from answers that follow everybody."""

from __future__ import annotations

import json
import random

import pytest

from strongroom.errors import ArtifactRefused
from strongroom.provenance.agreement import LEVEL, Asked, judge, read


def answers(like: list[int], keep: float, seed: int) -> list[int]:
    """``like`` with a share kept and the rest drawn from a few tokens."""
    draw = random.Random(seed)
    return [one if draw.random() < keep else draw.randrange(8) for one in like]


def asked(suspects: dict[str, list[int]], prompts: int = 1000) -> Asked:
    common = answers([0] * prompts, 0.0, 1)  # what everybody who speaks the language says
    raw = {
        "registered": answers(common, 0.5, 2),
        "suspects": suspects,
        "controls": {f"c{n}": answers(common, 0.5, 10 + n) for n in range(4)},
    }
    return read(json.dumps(raw).encode(), "f")


def test_a_descendant_is_found_and_strangers_are_not() -> None:
    common = answers([0] * 1000, 0.0, 1)
    ours = answers(common, 0.5, 2)
    suspects = {"child": answers(ours, 0.5, 3)}
    suspects |= {f"stranger-{n}": answers(common, 0.5, 100 + n) for n in range(30)}
    found = {one.suspect: one for one in judge(asked(suspects), "f")}
    assert found["child"].descends
    assert found["child"].p < LEVEL
    assert not any(one.descends for name, one in found.items() if name != "child")
    assert found["stranger-0"].registered > 0.3  # which a test against chance would call descent


def test_many_suspects_cost_the_child_its_correction() -> None:
    common = answers([0] * 1000, 0.0, 1)
    child = answers(answers(common, 0.5, 2), 0.2, 3)
    alone = judge(asked({"child": child}), "f")[0]
    crowd = {f"s{n}": answers(common, 0.5, 200 + n) for n in range(20)}
    among = next(o for o in judge(asked({**crowd, "child": child}), "f") if o.suspect == "child")
    assert alone.p < among.p <= min(1.0, 21 * alone.p)


def test_descent_from_a_control_is_not_descent_from_us() -> None:
    common = answers([0] * 1000, 0.0, 1)
    theirs = answers(answers(common, 0.5, 12), 0.8, 5)
    found = judge(asked({"theirs": theirs}), "f")[0]
    assert not found.descends
    assert found.nearest == "c2"


@pytest.mark.parametrize("bad", ["json", "unknown", "short", "few", "controls", "nobody"])
def test_what_cannot_be_compared_is_refused(bad: str) -> None:
    prompts = 50 if bad == "few" else 200
    raw: dict[str, object] = {
        "registered": [1] * prompts,
        "suspects": {} if bad == "nobody" else {"s": [1] * (prompts - (bad == "short"))},
        "controls": {f"c{n}": [1] * prompts for n in range(2 if bad == "controls" else 4)},
    }
    if bad == "unknown":
        raw["prompts"] = []
    content = json.dumps(raw).encode()[: -1 if bad == "json" else None]
    with pytest.raises(ArtifactRefused) as refusal:
        judge(read(content, "f"), "f")
    assert refusal.value.code == "provenance.answers_malformed"
