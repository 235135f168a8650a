"""Budgets out of the record: settled requests at their cost, others at what they reserved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.ledger.entries import Recorded
from strongroom.ledger.recovery import charges, sums
from tests.ledger.logs import final, intent, switched

MINUTE = 60_000


def recorded(*entries: tuple[int, object]) -> list[Recorded]:
    return [Recorded(index, at, entry) for index, (at, entry) in enumerate(entries)]  # type: ignore[arg-type]


def test_settled_and_left_behind() -> None:
    found = list(
        charges(
            recorded(
                (0, intent(1)),
                (1000, intent(2, "Other")),
                (2000, switched()),
                (MINUTE, final(1, tokens=7)),
                (MINUTE, intent(3)),
            )
        )
    )
    assert [(c.request, c.settled, c.cost["output_tokens"]) for c in found] == [
        ("r-1", True, 7),
        ("r-2", False, 100),
        ("r-3", False, 100),
    ]
    assert sums(found) == {
        ("Acme", 0): {"requests": 2, "output_tokens": 107},
        ("Other", 0): {"requests": 1, "output_tokens": 100},
    }
    assert sums(found, 60)["Acme", 60] == {"requests": 1, "output_tokens": 100}


def test_a_second_final_counts_nothing() -> None:
    found = charges(recorded((0, intent(1)), (1, final(1, 5)), (2, final(1, 50))))
    assert [c.cost["output_tokens"] for c in found] == [5]


@given(st.lists(st.tuples(st.integers(0, 10**7), st.booleans(), st.integers(0, 100)), max_size=40))
def test_windows_add_up_to_the_total(requests: list[tuple[int, bool, int]]) -> None:
    log: list[tuple[int, object]] = []
    for number, (at, settled, tokens) in enumerate(requests):
        log.append((at, intent(number)))
        if settled:
            log.append((at + 1, final(number, tokens)))
    found = list(charges(recorded(*log)))
    expected = sum(tokens if settled else 100 for _, settled, tokens in requests)
    for window in (None, 60, 86400):
        parts = sums(found, window)
        assert sum(amounts["output_tokens"] for amounts in parts.values()) == expected
