"""Of few queries all are looked at, of many about so many a second."""

from __future__ import annotations

from strongroom.gateway.detection.sampling import Sampler


def taken(sampler: Sampler, second: int, count: int) -> int:
    return sum(sampler.take(second + number / count) for number in range(count))


def test_all_of_few_and_a_share_of_many() -> None:
    sampler = Sampler(1000)
    assert taken(sampler, 0, 1000) == 1000
    assert taken(sampler, 1, 50_000) == 2000  # nobody could know
    assert 700 < taken(sampler, 2, 50_000) < 1300
    assert taken(sampler, 3, 100) < 30
    assert taken(sampler, 4, 100) == 100
