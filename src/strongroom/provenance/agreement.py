"""Black-box provenance: does a suspect answer as one model does, more than as any other?

After Nikolic et al. 2025 (arXiv 2502.00706), who ask models for the next token of random prompts
and compare how often two agree, with models that are unrelated as controls.

1. The same prompts go to the suspect, to the registered model and to at least ``LEAST_CONTROLS``
   unrelated models of the same kind; one answer each, taken greedily.
2. Of each control: over the prompts where exactly one of registered model and control agrees with
   the suspect, how often is it the registered one? Under the null, that the suspect is no nearer
   to it, at most half the time: McNemar's exact test, one-sided. Prompts that everybody answers
   alike count for nothing.
3. Descent needs every control to be beaten, so the suspect's p is the largest of these (an
   intersection-union test; nothing to correct for there).
4. Over several suspects Holm's correction holds the error rate of the whole.

What it shows is descent of behaviour. Fine-tuning, merging and distillation all pass it on: it
cannot tell a copied weight from a student, which the fingerprint of the weights can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.exposure.measurement.holm import holm
from strongroom.exposure.measurement.proportions import binomial_tail
from strongroom.provenance.reasons import refuse

LEAST_CONTROLS: Final = 3
LEAST_PROMPTS: Final = 100
LEVEL: Final = 1e-3

Answer = str | int
Answers = Annotated[tuple[Answer, ...], Meta(max_length=1_000_000)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer a prompt, in one order, of each model; an answer is a token's id or its text."""

    registered: Answers
    suspects: dict[str, Answers]
    controls: dict[str, Answers]


class Agreement(msgspec.Struct, frozen=True):
    """Of one suspect: how often each model agrees with it; ``p`` is Holm's over all suspects."""

    suspect: str
    registered: float
    controls: dict[str, float]
    nearest: str
    p: float
    descends: bool


def read(raw: bytes, name: str) -> Asked:
    """A file of answers, JSON.

    Raises:
        ArtifactRefused: ``provenance.answers_malformed``.
    """
    try:
        return msgspec.json.decode(raw, type=Asked)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        why = "it is not the JSON that the documentation describes"
        raise refuse("provenance.answers_malformed", name=name, why=why) from None


def judge(asked: Asked, name: str) -> tuple[Agreement, ...]:
    """Rules 2 to 4, of every suspect.

    Raises:
        ArtifactRefused: ``provenance.answers_malformed``: lengths differ, or there are too few
            prompts, controls or suspects.
    """
    _require_enough(asked, name)
    found = [_against(asked, answers) for answers in asked.suspects.values()]
    adjusted = holm([p for _, p in found])
    return tuple(
        Agreement(
            suspect,
            _rate(answers, asked.registered),
            {control: _rate(answers, theirs) for control, theirs in asked.controls.items()},
            nearest,
            p,
            p < LEVEL,
        )
        for (suspect, answers), (nearest, _), p in zip(
            asked.suspects.items(), found, adjusted, strict=True
        )
    )


def _against(asked: Asked, suspect: Sequence[Answer]) -> tuple[str, float]:
    """The control that is hardest to beat, and the p-value against it."""
    values = {
        name: _beaten(suspect, asked.registered, theirs) for name, theirs in asked.controls.items()
    }
    nearest = max(values, key=values.__getitem__)
    return nearest, values[nearest]


def _beaten(
    suspect: Sequence[Answer], registered: Sequence[Answer], control: Sequence[Answer]
) -> float:
    won = lost = 0
    for said, ours, theirs in zip(suspect, registered, control, strict=True):
        won += said == ours != theirs
        lost += said == theirs != ours
    return binomial_tail(won, won + lost, 0.5)


def _rate(first: Sequence[Answer], second: Sequence[Answer]) -> float:
    return sum(one == other for one, other in zip(first, second, strict=True)) / len(first)


def _require_enough(asked: Asked, name: str) -> None:
    prompts = len(asked.registered)
    others: list[Mapping[str, Sequence[Answer]]] = [asked.suspects, asked.controls]
    if any(len(answers) != prompts for group in others for answers in group.values()):
        why = "not every model has one answer a prompt"
    elif prompts < LEAST_PROMPTS or len(asked.controls) < LEAST_CONTROLS or not asked.suspects:
        why = f"it takes {LEAST_PROMPTS} prompts, {LEAST_CONTROLS} controls and a suspect"
    else:
        return
    raise refuse("provenance.answers_malformed", name=name, why=why)
