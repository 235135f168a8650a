"""Whatever the chunks: what is forbidden never leaves, and what is allowed leaves unchanged."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.content.blocklist import Blocklist
from strongroom.gateway.content.config import ContentConfig, Rule
from strongroom.gateway.content.interface import MAX_HELD, Scan
from strongroom.gateway.content.opening import open_policy
from strongroom.gateway.content.pattern_width import width
from strongroom.gateway.refusals import Refusal

pytest.importorskip("re2")

RULES = (
    Rule("project", "project (?:red|green) fox"),
    Rule("card", r"\d{4}(?: ?\d{4}){3}"),
    Rule("name", "Ada|adam", ignore_case=False, whole_words=True),
    Rule("greek", r"\p{Greek}{3}\x{1F600}?"),
)
POLICY = Blocklist(RULES)
FORBIDDEN = re.compile(
    r"project (?:red|green) fox|\d{4}(?: ?\d{4}){3}|[αβγ]{3}"
    r"|(?-i:(?<![^\W])(?:Ada|adam)(?![^\W]))",
    re.IGNORECASE,
)
PIECES = (
    "project ", "red", "green", " fox", "PROJECT RED FOX", "1234", " 5678", "12345678", "Ada",
    "adam", "Adams", "_", " ", "\n", "α", "βγ", "é", "\U0001f600", "x",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


async def stream(scan: Scan, chunks: list[str]) -> tuple[str, bool]:
    """What left, and whether it was refused."""
    left, pushed = "", 0
    try:
        for chunk in chunks:
            left += await scan.push(chunk)
            pushed += len(chunk)
            assert pushed - len(left) <= scan.held_limit
        return left + await scan.finish(), False
    except Refusal as refusal:
        return left, refusal.code == "gateway.content_refused"


def cut(text: str, places: list[int]) -> list[str]:
    at = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


@settings(max_examples=400, deadline=None)
@given(texts, st.lists(st.integers(0, 200), max_size=20))
@example("1234 5678 1234 5678", list(range(20)))
@example("Ada", [1, 2])
@example("Adams Ada_ xAda", list(range(16)))
def test_any_splitting(text: str, places: list[int]) -> None:
    found = FORBIDDEN.search(text)
    left, refused = asyncio.run(stream(POLICY.output(), cut(text, places)))
    assert refused is (found is not None)
    if found is None:
        assert left == text
    else:
        assert text.startswith(left)
        assert len(left) <= found.start()


@given(texts)
def test_input_is_judged_as_output_is(text: str) -> None:
    try:
        asyncio.run(POLICY.check_input(text))
        refused = False
    except Refusal:
        refused = True
    assert refused is (FORBIDDEN.search(text) is not None)


def test_the_refusal_names_the_rule_and_quotes_nothing() -> None:
    with pytest.raises(Refusal, match="rule `card`") as caught:
        asyncio.run(POLICY.check_input("my card: 1234 5678 1234 5678"))
    assert "1234" not in repr(caught.value) + caught.value.sentence
    assert caught.value.status == 403


def test_rules_for_one_direction_only() -> None:
    policy = Blocklist([Rule("in", "abc", output=False), Rule("out", "def", input=False)])
    asyncio.run(policy.check_input("def"))
    assert asyncio.run(stream(policy.output(), ["a", "bc"])) == ("abc", False)
    assert asyncio.run(stream(policy.output(), ["abcd", "ef"])) == ("ab", True)
    with pytest.raises(Refusal):
        asyncio.run(policy.check_input("abc"))


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("abc", 3),
        ("a|bcd|", 3),
        ("a?b{3}c{2,5}", 9),
        ("(?:ab|c){4}", 8),
        (r"[a-z\]]{2}[^]x][[:alpha:]]", 4),
        (r"\pL\p{Greek}\P{^L}\x41\x{1F600}\.\n.", 8),
        ("((ab?){2}c){3}", 15),
        ("a{0}", 0),
    ],
)
def test_width(pattern: str, most: int) -> None:
    assert width(pattern) == most


@pytest.mark.parametrize(
    "pattern",
    ["a*", "a+", "a{2,}", "^a", "a$", r"\ba", r"a\B", r"\Aa", r"a\z", "(?i)a", "(?P<n>a)", r"\Qa\E",
     "(a", "a)", "[a", "a{", "a}", r"\C", "a{2}{3}", r"[\Q]\E*]", "a**", "(?=a)", "a\\", "b??*"],
)  # fmt: skip
def test_patterns_without_bound_or_understanding_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationRefused, match=r"gateway\.content_pattern"):
        Blocklist([Rule("r", pattern)])


@pytest.mark.parametrize("pattern", ["a?", "a|", r"\s", "[z-a]", "a{1001}", "(?:a{1000}){9}"])
def test_patterns_that_match_nothing_much_or_too_much_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationRefused, match=r"gateway\.content_pattern"):
        Blocklist([Rule("r", pattern)])
    assert MAX_HELD < 9000


ATOMS = st.sampled_from(
    ["a", "b", ".", r"\d", "[ab]", "[^a]", r"\.", "é", "(?:a|bc)", "(ab?c{1,3})"]
)
REPEATS = st.sampled_from(["", "?", "{2}", "{0,3}", "{1,2}?"])


@given(st.lists(st.tuples(ATOMS, REPEATS), min_size=1, max_size=5), st.text("abc1.é", max_size=40))
def test_no_match_is_longer_than_the_width(parts: list[tuple[str, str]], text: str) -> None:
    """RE2 with longest matches as oracle."""
    import re2

    pattern = "".join(atom + repeat for atom, repeat in parts)
    options = re2.Options()
    options.longest_match = True
    for found in re2.compile(pattern.replace("}?", "}"), options).finditer(text):
        assert found.end() - found.start() <= width(pattern)


def test_nothing_by_default() -> None:
    assert open_policy(ContentConfig()) is None
