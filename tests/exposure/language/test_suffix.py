"""Suffix search: exact losses with what is shared, gradients, text that survives."""

from __future__ import annotations

import torch

from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.attacks.language.random_suffix import RandomSuffix
from strongroom.exposure.attacks.language.scene import Scene
from strongroom.exposure.attacks.language.suffix import plain_tokens
from strongroom.exposure.attacks.language.suffix_search import SuffixSearch, filler
from strongroom.exposure.interface import Prompts
from strongroom.exposure.judge.output import OutputJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

GOALS = tuple(Goal(f"say {word}", f" {word} fern", "<", ">") for word in ("kelp", "iris", "dune"))


def loss(number: int, prompt: str) -> float:
    goal = GOALS[number]
    start = tiny.ids(goal.before + prompt + goal.after)
    answer = tiny.ids(goal.answer)
    with torch.no_grad():
        logits = tiny.base()(input_ids=torch.tensor([start + answer])).logits[0]
    said = logits[len(start) - 1 : -1].log_softmax(1)
    return float(-said.gather(1, torch.tensor(answer)[:, None]).mean())


def test_losses_are_those_of_the_whole_text_whatever_is_shared() -> None:
    scene = Scene(tiny.fresh_copy(tiny.base()), tiny.tokenizer(), GOALS[0])
    rows = filler(scene, 4).repeat(3, 1)
    rows[1, 5], rows[2, 7] = 70, 71
    whole = scene.losses(rows)
    assert torch.allclose(whole, scene.losses(rows, 5), atol=1e-5)
    for row, found in zip(rows.tolist(), whole.tolist(), strict=True):
        assert abs(loss(0, scene.text(row)) - found) < 1e-4


def test_the_gradient_is_that_of_the_embedding() -> None:
    scene = Scene(tiny.fresh_copy(tiny.base()), tiny.tokenizer(), GOALS[0])
    start = filler(scene, 4)
    here, slope = scene.gradient(start)
    assert abs(here - float(scene.losses(start[None])[0])) < 1e-5
    assert slope.shape == (len(start), 256)


def attacked(attack: SuffixSearch | RandomSuffix) -> float:
    target = open_language(tiny.language(tiny.base()), attack.rungs[0], tiny.PLENTY)
    claims = attack.run(target, tiny.knows(GOALS, attack.knowledge[0]), tiny.PLENTY, 0)
    assert isinstance(claims[-1], Prompts)
    assert all(p.startswith(g.question) for p, g in zip(claims[-1].prompts, GOALS, strict=True))
    plain = [goal.question for goal in GOALS]
    noise = [goal.question + "q w x z v b" for goal in GOALS]
    found = OutputJudge(loss, plain, noise).judge(claims)
    figure = found.figures[0]
    assert figure.measured.value > figure.null.value
    return figure.measured.value


def test_positive_control_both_searches_bring_the_target_nearer() -> None:
    assert attacked(SuffixSearch(length=4, tokens=6000)) > 0.3
    assert attacked(RandomSuffix(length=4, tokens=6000)) > 0.2


def test_negative_control_a_search_without_steps_gains_nothing_over_noise() -> None:
    target = open_language(tiny.language(tiny.base()), Rung.WEIGHTS, tiny.PLENTY)
    (claim,) = SuffixSearch(length=4, tokens=1).run(target, tiny.knows(GOALS), tiny.PLENTY, 0)
    assert isinstance(claim, Prompts)
    assert all(p == g.question + " !" * 4 for p, g in zip(claim.prompts, GOALS, strict=True))


def test_plain_tokens_are_printable() -> None:
    assert all(
        32 <= ord(tiny.tokenizer().decode([int(n)])) < 127 for n in plain_tokens(tiny.tokenizer())
    )
