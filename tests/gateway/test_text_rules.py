"""What text may hold, by policy."""

from __future__ import annotations

import unicodedata
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import chat_generation
from strongroom.gateway.strict_json import parse_object
from strongroom.gateway.text_rules import MOST_STRIPPED, TextPolicy, clean_text

STRICT = TextPolicy()
STRIP = TextPolicy(controls="strip", tags="strip", bidi="strip", zero_width="strip")
ALLOW = TextPolicy(tags="allow", bidi="allow", zero_width="allow")

KINDS = {
    "controls": "\x00\x07\x1b\x7f\x80\x85\x9f",
    "tags": "\U000e0000\U000e0041\U000e007f",
    "bidi": "\u061c\u200e\u200f\u202a\u202e\u2066\u2069",
    "zero_width": "\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f\U000e0101\u3164\u180e",
}
NEVER = "\ud800\udfff\ufdd0\ufffe\uffff"

MEANT = [
    "tab\t, newline\n and return\r",
    "می\u200cخواهم",  # Persian, with the non-joiner it is written with
    "क्\u200dष",  # Devanagari, a half form
    "ශ්\u200dරී",  # Sinhala
    "👨\u200d👩\u200d👧",  # a family
    "❤\ufe0f\u200d🔥",  # a heart on fire
    "1\ufe0f⃣ ☺\ufe0e",  # a key cap, a sign
    "葛\U000e0100城",  # the form of an ideograph
    "ភាសា\u200bខ្មែរ",  # Khmer, where a line may break
    "مرحبا بالعالم", "שלום עולם", "日本語", "Ελληνικά", "naïve 😀",
]  # fmt: skip

UNMEANT = ["a\u200db", "a\u200bb", "\u200d", "a\ufe0f", "می\u200c\u200cخ", "😀\ufe0f\ufe0f",
           "a\ufe0f\u200d😀", "葛\U000e0100\U000e0101", "😀\u200da", "ภ\u200b\u200bา"]  # fmt: skip


def judge(text: str, policy: TextPolicy) -> str | None:
    try:
        return clean_text(text, "prompt", policy)
    except Refusal:
        return None


@pytest.mark.parametrize("text", MEANT)
@pytest.mark.parametrize("policy", [STRICT, STRIP, ALLOW])
def test_what_people_write_passes_unchanged(text: str, policy: TextPolicy) -> None:
    assert judge(text, policy) == text


@pytest.mark.parametrize("text", UNMEANT)
def test_zero_width_characters_that_no_script_needs(text: str) -> None:
    assert judge(text, STRICT) is None
    assert judge(text, ALLOW) == text
    stripped = judge(text, STRIP)
    assert stripped is not None
    assert judge(stripped, STRICT) == stripped != text


@pytest.mark.parametrize(
    ("kind", "character"), [(k, c) for k, found in KINDS.items() for c in found]
)
def test_each_kind_follows_its_own_setting(kind: str, character: str) -> None:
    text = f"a{character}b"
    assert judge(text, STRICT) is None
    for handling, expected in {"strip": "ab", "allow": text, "refuse": None}.items():
        if (kind, handling) == ("controls", "allow"):
            continue
        others = {"controls": "strip", "tags": "allow", "bidi": "allow", "zero_width": "allow"}
        policy = TextPolicy(**{**others, kind: handling})  # type: ignore[arg-type]
        assert judge(text, policy) == expected


@pytest.mark.parametrize("character", NEVER)
@pytest.mark.parametrize("policy", [STRICT, STRIP, ALLOW])
def test_what_is_no_text_never_passes(character: str, policy: TextPolicy) -> None:
    assert judge(f"a{character}b", policy) is None


def test_only_so_many_are_stripped() -> None:
    assert judge("a\u200b" * MOST_STRIPPED, STRIP) == "a" * MOST_STRIPPED
    assert judge("a\u200b" * (MOST_STRIPPED + 1), STRIP) is None


odd = st.sampled_from([*"".join(KINDS.values()), *"aه😀क葛ภ❤1 \n"])
texts = st.text(st.one_of(odd, st.characters()), max_size=12)
policies = st.builds(
    TextPolicy,
    controls=st.sampled_from(["refuse", "strip"]),
    tags=st.sampled_from(["refuse", "strip", "allow"]),
    bidi=st.sampled_from(["refuse", "strip", "allow"]),
    zero_width=st.sampled_from(["refuse", "strip", "allow"]),
)


@given(text=texts, policy=policies)
def test_what_passes_passes_again_unchanged(text: str, policy: TextPolicy) -> None:
    found = judge(text, policy)
    if found is not None:
        assert judge(found, policy) == found


@given(text=texts)
def test_no_control_tag_or_direction_survives_strictness(text: str) -> None:
    for policy in (STRICT, STRIP):
        found = judge(text, policy)
        if found is not None:
            forbidden = {*KINDS["tags"], *KINDS["bidi"]}
            assert not forbidden & set(found)
            assert all(unicodedata.category(c) != "Cc" or c in "\t\n\r" for c in found)


@given(text=texts)
def test_stripping_takes_away_and_never_adds(text: str) -> None:
    found = judge(text, STRIP)
    if found is not None:
        rest = iter(text)
        assert all(character in rest for character in found)  # a subsequence
    if judge(text, STRICT) == text:
        assert found == text


@given(text=st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Cn", "Mn", "Lo"])))
def test_letters_signs_and_spaces_are_never_touched(text: str) -> None:
    assert judge(text, STRICT) == text


@pytest.mark.parametrize(
    ("role", "policy"),
    list(product(["system", "developer", "user", "assistant"], ["allow", "refuse"])),
)
def test_system_messages_by_policy(role: str, policy: str) -> None:
    body = f'{{"model":"m","messages":[{{"role":"{role}","content":"x"}}]}}'.encode()
    rules = TextPolicy(system_role=policy)  # type: ignore[arg-type]
    if policy == "refuse" and role in {"system", "developer"}:
        with pytest.raises(Refusal) as caught:
            chat_generation(parse_object(body), 0, rules)
        assert caught.value.code == "gateway.role_not_accepted"
        assert caught.value.param == "messages[0].role"
    else:
        assert chat_generation(parse_object(body), 0, rules).messages
