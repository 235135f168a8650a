"""Stop strings are found wherever the text is cut, and never shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.stops import StopScanner

letters = st.text(alphabet="ab", max_size=12)


@given(letters, st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=4), st.data())
def test_like_a_search_in_the_whole_text(text: str, stops: list[str], data: st.DataObject) -> None:
    scanner = StopScanner(tuple(stops))
    shown, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += scanner.push(rest[:size])
        rest = rest[size:]
    shown += scanner.finish()
    # A stop string counts when it is complete: the one that ends first.
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    assert scanner.stopped == bool(ends)
    if not ends:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert not any(s in shown for s in stops)
