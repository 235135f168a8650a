"""How tries of primitives are judged, and how the table is told."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from demo import report
from demo.attacks.bit_flip import BitFlip
from demo.attacks.interface import Outcome
from demo.attacks.keeper_primitives import KeeperPrimitives, judge
from strongroom.keeper.lockdown.selftest import Outcome as Tried

STOPPED = Tried("socket", "network", "worked", "killed", refused=True, control=True)
THROUGH = Tried("connect", "network", "worked", "worked", refused=False, control=True)
UNPROVEN = Tried("listen", "network", "errno EPERM", "killed", refused=True, control=False)
ATTACK = KeeperPrimitives("opens a socket", "Send.", frozenset({"network"}))


@pytest.mark.parametrize(
    ("tries", "verdict", "defended"),
    [
        ([STOPPED], "held", True),
        ([STOPPED, THROUGH], "succeeded", False),
        ([STOPPED, UNPROVEN], "held", False),
        ([], "held", False),
    ],
)
def test_one_way_out_is_enough_to_fail(tries: list[Tried], verdict: str, defended: bool) -> None:
    outcome = judge(tries)
    assert outcome.verdict == verdict
    assert ATTACK.defended(outcome) is defended


GOOD = Outcome("refused", "artifact.segment_altered", "A bit [was] flipped.", "it opened", True)
BAD = Outcome("succeeded", "accepted", "It passed.", "it opened", True)
UNTRIED = Outcome("not tried", "no privilege", "It needs root.", "none", True)


def told(*outcomes: Outcome) -> tuple[str, bool]:
    console = Console(width=100, record=True, force_terminal=True)
    results: list[report.Result] = [(BitFlip(), outcome) for outcome in outcomes]
    console.print(report.table(results))
    good = report.verdict(console, results, 1.0)
    return console.export_text(), good


def test_the_table_fits_a_hundred_columns_and_shows_brackets() -> None:
    text, good = told(GOOD, UNTRIED)
    assert good
    assert max(map(len, text.splitlines())) <= 100
    assert "[was]" in re.sub(r"\s+", " ", text)


def test_a_success_of_the_attacker_is_a_failure_of_the_run() -> None:
    text, good = told(GOOD, BAD)
    assert not good
    assert "1 of 2" in text
