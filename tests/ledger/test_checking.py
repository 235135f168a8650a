"""The quick check accepts nothing that the decoder refuses, and what the gateway really writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.ledger import entries
from strongroom.ledger.checking import checker
from strongroom.ledger.entries import Recorded, RequestFinal, RequestIntent
from tests.ledger.logs import final, intent

CHECKS = {
    RequestIntent: checker(RequestIntent, ("request", "reserved", "input_digest")),
    RequestFinal: checker(RequestFinal, ("request", "settled", "output_digest")),
}
SAMPLES = {
    RequestIntent: msgspec.structs.replace(
        intent(1, "Größe & Söhne"), input_digest="b" * 64, model_digest="c" * 96
    ),
    RequestFinal: msgspec.structs.replace(final(1), output_digest="", code="gateway.client_gone"),
}
HOSTILE = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            *["", "a" * 64, "A" * 64, "a" * 65, "a" * 64 + "\n", "r-1\n", "-r", "a b", "answered"],
            *["é", "gateway.x", "gateway..x", "x" * 128, "x" * 129, "\x7f", "a\x00b"],
        ]
    ),
    st.integers(-2, 2**54),
    st.sampled_from([2**53 - 1, 2**53, True, None, 1.0, b"r-1", [], ("a",)]),
    st.dictionaries(
        st.sampled_from(["requests", "Requests", "", "a" * 40, "a" * 41, "a\n", "é"]),
        st.one_of(st.integers(-1, 2**53), st.sampled_from([True, 1.0, "1", None, 2**53 - 1])),
        max_size=3,
    ),
    st.just({f"r{number}": 1 for number in range(25)}),
)


def decodes(entry: Any) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(Recorded(0, 0, entry)), type=Recorded)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return False
    return True


@pytest.mark.parametrize("kind", CHECKS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_accepts_less_than_the_decoder(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(kind.__struct_fields__), min_size=1, max_size=2))
    changes = {name: data.draw(HOSTILE) for name in sorted(names)}
    entry = msgspec.structs.replace(SAMPLES[kind], **changes)
    if CHECKS[kind](entry):
        assert decodes(entry)


@pytest.mark.parametrize("kind", CHECKS, ids=lambda kind: kind.__name__)
def test_accepts_what_is_written(kind: type[msgspec.Struct]) -> None:
    """Else the check would be slow without anybody noticing."""
    assert CHECKS[kind](SAMPLES[kind])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request", "no spaces"),
        ("input_digest", "f" * 63),
        ("route", "a b"),
        ("reserved", {"x": -1}),
    ],
)
def test_what_is_not_accepted_is_judged_by_the_decoder(field: str, value: Any) -> None:
    wrong = msgspec.structs.replace(SAMPLES[RequestIntent], **{field: value})
    assert not CHECKS[RequestIntent](wrong)
    with pytest.raises(StrongroomError) as caught:
        entries.encode(Recorded(0, 0, wrong))
    assert caught.value.code == "ledger.bad_entry"
