"""What the student of a language model keeps of it, by what it is told.

The teacher is SmolLM2-135M-Instruct, or the demonstration's, which was fine-tuned on passages and
canaries. Its students have six layers and at most 4,096 tokens, and learn on docstrings of the
standard library. Every arm has the same processor time, and what asking the teacher takes is part
of it: ``nothing`` trains on the texts alone for the whole of it. Held texts are docstrings that no
arm saw.

Perplexities compare where tokenizers are alike, which all arms but ``text`` have; bits a byte do
always. Agreement is the share of places at which student and teacher say the same next token.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import msgspec
import torch

from strongroom.distil.language.division import TextDivision
from strongroom.distil.language.making import LanguageWorkshop
from strongroom.distil.language.plan import Answers, LanguageGrants, LanguagePlan
from strongroom.distil.language.utility import Reading, agreement, bits_a_byte, perplexity, read
from strongroom.exposure.causal_lm import ready
from strongroom.exposure.demo.language import (
    base_folder,
    ensure_demo_language,
    read_module,
    read_tokenizer,
)
from strongroom.exposure.demo.public_texts import docstrings
from strongroom.exposure.targets.in_process_language import LanguageModel

ARMS = ("nothing", "labels", "top-k", "logits", "layers", "text")
HELD, SHOWN = 100, 240
"""Held texts, and the characters of each that are read."""

_PROBE = 8


def teacher_of(name: str) -> LanguageModel:
    folder = base_folder() if name == "base" else ensure_demo_language()
    return LanguageModel(ready(read_module(folder)), read_tokenizer(folder), (2,), 2048)


def division() -> TextDivision:
    texts = docstrings(1)
    held = tuple(text[:SHOWN] for text in texts[:HELD])
    return TextDivision((), (), held, tuple(texts[HELD:]), (), 0)


def planned(arm: str, positions: int, seed: int) -> LanguagePlan:
    """``nothing`` is never asked; ``layers`` begins with the teacher's, and is told logits."""
    answers: Answers = {"nothing": "labels", "layers": "logits"}.get(arm, arm)  # type: ignore
    return LanguagePlan(
        "0" * 64,
        "demo",
        "0" * 64,
        answers=answers,
        tokenizer="own" if arm == "text" else "teacher",
        init="teacher-layers" if arm == "layers" else "fresh",
        grants=LanguageGrants(soft_labels=True, teacher_tensors=True, teacher_tokenizer=True),
        seed=seed,
    ).declaring(positions)


def with_steps(shop: LanguageWorkshop, steps: int) -> LanguageWorkshop:
    schedule = msgspec.structs.replace(shop.plan.schedule, steps=max(1, steps))
    plan = msgspec.structs.replace(shop.plan, schedule=schedule)
    return LanguageWorkshop(plan, shop.teacher, shop.division)


def made(shop: LanguageWorkshop, arm: str, seconds: float) -> tuple[LanguageModel, dict[str, Any]]:
    """The student of ``seconds`` of processor time in all: a few steps say how many fit."""
    ticks: list[float] = []
    with_steps(shop, _PROBE).untaught(tell=lambda *_: ticks.append(time.process_time()))
    a_step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    if arm == "nothing":
        began = time.process_time()
        steps = int(seconds / a_step)
        student = with_steps(shop, steps).untaught()
        return student, {"steps": steps, "seconds": time.process_time() - began}
    target, began = shop.target(), time.process_time()
    lessons = shop.lessons(target)
    told = {"asking": time.process_time() - began}
    steps = int((seconds - told["asking"]) / a_step)
    student = with_steps(shop, steps).trained(lessons)
    spent = msgspec.to_builtins(target.spent())
    return student, told | spent | {"steps": steps, "seconds": time.process_time() - began}


def figures(student: list[Reading], teacher: list[Reading]) -> dict[str, float]:
    return {
        "perplexity": round(perplexity(student), 2),
        "bits a byte": round(bits_a_byte(student), 3),
        "agreement": round(agreement(student, teacher), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--teacher", choices=["base", "demo"], default="base")
    parser.add_argument("--seconds", type=float, default=900.0, help="processor time of an arm")
    parser.add_argument("--positions", type=int, default=60_000, help="asked at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher, texts = teacher_of(given.teacher), division()
    theirs = read(teacher, texts.held)
    print(json.dumps({"arm": "the teacher"} | figures(theirs, theirs)), flush=True)
    for arm in given.arms:
        shop = LanguageWorkshop(planned(arm, given.positions, given.seed), teacher, texts)
        student, told = made(shop, arm, given.seconds)
        size = sum(each.numel() for each in student.module.parameters())
        found = {"arm": arm, "parameters": size} | figures(read(student, texts.held), theirs)
        print(json.dumps(found | told), flush=True)


if __name__ == "__main__":
    main()
