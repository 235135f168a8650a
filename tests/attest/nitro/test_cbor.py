"""The strict reader of CBOR agrees with ``cbor2`` on what it takes, and takes no more."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attest.nitro import cbor

SCALARS = st.none() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=300) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, 99) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=-1)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_canonically_is_read_back(value: Any) -> None:
    if depth(value) <= cbor.MAX_DEPTH:
        assert cbor.loads(cbor2.dumps(value)) == value
    else:
        with pytest.raises(ValueError, match="deep"):
            cbor.loads(cbor2.dumps(value))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_that_cbor2_reads_too_or_refused(data: bytes) -> None:
    try:
        value = cbor.loads(data)
    except ValueError:
        return
    assert value == cbor2.loads(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1817",  # 23 in two bytes
        "1900ff",  # 255 in three bytes
        "1a0000ffff",
        "1b00000000ffffffff",
        "18",
        "1c",
        "1f",
        "5f4101ff",  # strings of indefinite length
        "7f6161ff",
        "9f01ff",
        "81",
        "4401",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "5bffffffffffffffff",
        "a10101ff",
        "a201010102",  # a key twice
        "bf01010102ff",
        "bf0101",
        "bfff00",
        "a1f601",  # keys of other types
        "a14101f6",
        "61ff",  # not UTF-8
        "c001",  # tags, floats, booleans, undefined, break
        "f4",
        "f5",
        "f7",
        "f93c00",
        "fb3ff0000000000000",
        "ff",
        "818181818181",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cbor.loads(bytes.fromhex(text))
