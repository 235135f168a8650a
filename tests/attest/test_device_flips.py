"""A part of the byte flips over GPU and TPM evidence; all of them: ``fuzz/attest_flips.py``."""

from __future__ import annotations

import pytest

from tests.attest.device_flips import alter, targets

TARGETS = targets()
STEP = 61


@pytest.mark.parametrize("number", range(len(TARGETS)), ids=lambda number: TARGETS[number].name)
def test_altered_bytes_are_refused_or_say_the_same(number: int) -> None:
    target = TARGETS[number]
    target.judge(target.data)
    # A manifest has 20,000 bytes, and each alteration of it costs three milliseconds.
    step = 5 * STEP if "rim" in target.name.lower() else STEP
    result = alter(target, step, start=number * 7)
    assert result.wrong == ()
    assert result.refused > 0


def test_the_most_binding_bytes_are_altered_one_and_all() -> None:
    by_name = {target.name: target for target in TARGETS}
    for name in ("simulated TPM ECDSA message", "simulated TPM ECDSA signature"):
        result = alter(by_name[name])
        assert (result.refused, result.same) == (len(by_name[name].data), 0)
