"""What ``serve`` does when its keeper ends because a weight changed: once more from the seal."""

from __future__ import annotations

import pytest

from strongroom.cli.reloads import MOST, until_asked
from strongroom.cli.supervisor import ChildFailed


class Lives:
    """Ends of the lives that one ``serve`` has, in order: a code to fail with, or a signal."""

    def __init__(self, *ends: str | int) -> None:
        self.ends = list(ends)

    def __call__(self) -> int:
        end = self.ends.pop(0)
        if isinstance(end, int):
            return end
        raise ChildFailed(end, "It ended.", action="Look.", exit_code=3)


def test_a_changed_weight_is_answered_by_a_fresh_keeper() -> None:
    lives = Lives("keeper.weights_altered", "keeper.weights_altered", 15)
    assert until_asked(lives) == 15
    assert not lives.ends


def test_a_machine_that_goes_on_flipping_bits_is_left() -> None:
    lives = Lives(*["keeper.weights_altered"] * 9)
    with pytest.raises(ChildFailed, match="weights_altered"):
        until_asked(lives)
    assert len(lives.ends) == 9 - 1 - MOST


def test_any_other_end_is_final() -> None:
    lives = Lives("artifact.segment_altered", 15)
    with pytest.raises(ChildFailed, match="segment_altered"):
        until_asked(lives)
    assert lives.ends == [15]
