"""Attacks on the sealed folder: refused for their own reason, and noticed if they were not."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.attacks import bit_flip, key_holder, plain_model, rollback, segment_swap, stranger
from demo.attacks.interface import Attack, Outcome
from demo.attacks.sealed import judge, sealed_copy
from demo.attacks.truncation import Truncation
from demo.stage import Stage, refusal_code

ATTACKS = [
    bit_flip.BitFlip,
    segment_swap.SegmentSwap,
    key_holder.KeyHolderForgery,
    Truncation,
    rollback.Rollback,
    stranger.Stranger,
    plain_model.PlainInstead,
    plain_model.PlainBeside,
]


@pytest.mark.parametrize("kind", ATTACKS, ids=lambda kind: kind.__name__)
def test_each_is_refused_for_the_right_reason(kind: type[Attack], sealed_stage: Stage) -> None:
    before = {path.name: path.read_bytes() for path in sealed_stage.sealed.iterdir()}
    attack = kind()
    outcome = attack.run(sealed_stage)
    assert outcome.verdict == "refused", outcome
    assert outcome.control_ok, outcome
    assert attack.defended(outcome), outcome
    assert {path.name: path.read_bytes() for path in sealed_stage.sealed.iterdir()} == before


def test_an_untouched_copy_passes_both_doors(sealed_stage: Stage) -> None:
    with sealed_copy(sealed_stage.sealed, sealed_stage.work) as copy:
        assert sealed_stage.open_code(copy) == ""
        assert sealed_stage.verify_code(copy) == ""
    assert not copy.exists()


class Harmless(bit_flip.BitFlip):
    """Changes nothing, so it gets through: what a run would look like if a wall were missing."""

    def tamper(self, stage: Stage, copy: Path) -> str:
        return "Nothing was changed"


def test_an_attack_that_gets_through_is_reported_as_such(sealed_stage: Stage) -> None:
    attack = Harmless()
    outcome = attack.run(sealed_stage)
    assert outcome.verdict == "succeeded"
    assert "verify and open" in outcome.evidence
    assert not attack.defended(outcome)


def test_one_open_door_is_enough_to_fail() -> None:
    codes = {"verify": "artifact.segment_altered", "open": ""}
    outcome = judge(codes, "Done", "control", control_ok=True)
    assert outcome.verdict == "succeeded"
    assert "passed open" in outcome.evidence


def test_the_wrong_reason_does_not_count() -> None:
    outcome = judge({"verify": "artifact.not_found"}, "Done", "control", control_ok=True)
    assert outcome.verdict == "refused"
    assert not bit_flip.BitFlip().defended(outcome)


def test_a_failed_control_does_not_count() -> None:
    codes = {"verify": "artifact.segment_altered"}
    assert not bit_flip.BitFlip().defended(judge(codes, "Done", "control", control_ok=False))
    assert bit_flip.BitFlip().defended(judge(codes, "Done", "control", control_ok=True))


def test_a_refusal_without_a_code_is_no_code() -> None:
    assert refusal_code('{"error": "artifact.rollback", "message": "m"}\n') == "artifact.rollback"
    assert (
        refusal_code("Traceback (most recent call last):\n  boom") not in bit_flip.BitFlip.reasons
    )


def test_not_tried_is_not_failed() -> None:
    assert bit_flip.BitFlip().defended(Outcome("not tried", "no privilege", "", "", True))
