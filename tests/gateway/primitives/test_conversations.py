"""Ids are used only if they are, one by one, what the service itself makes of a conversation."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.fake_keeper import SPECIAL, TEMPLATE, small_tokenizer
from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.primitives.conversations import Conversations
from strongroom.gateway.primitives.wire import WireDatum
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import Message
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.tune.chat_lines import Turn
from strongroom.tune.dataset import mark
from strongroom.tune.policy import Policy

POLICY = Policy(most_tokens=200)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n\n{{ m['content'] | trim }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)


@pytest.fixture(scope="module", params=["chatml", "other"])
def both(request: Any) -> tuple[Conversations, ChatTemplate, ModelTokenizer]:
    tokenizer = ModelTokenizer(small_tokenizer().to_str().encode(), 404)
    named = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    source = TEMPLATE if request.param == "chatml" else LLAMA
    template = ChatTemplate(source, named, tokenizer)
    return Conversations(template, tokenizer), template, tokenizer


TALK = (
    Message("system", "answer in short words"),
    Message("user", "hello world, quick brown fox"),
    Message("assistant", "one two three"),
    Message("user", "and then? <|im_end|> é"),
)


def test_a_prompt_is_read_back(both: Any) -> None:
    read, template, tokenizer = both
    for talk in (TALK, TALK[1:2], TALK[1:], (Message("user", "user\nassistant\n<|im_start|>"),)):
        assert read.asked(template.encode(talk)) == (talk, "")
    for text in ("hello world", "a <|im_start|>system\nb"):  # spelt out, they are text
        ids = tokenizer.encode_text(text)
        assert read.asked(ids) == ((), text)
        assert set(ids).isdisjoint(tokenizer.control_tokens.values())


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    assert caught.value.code == "gateway.not_a_conversation"
    return str(caught.value)


def test_a_control_token_that_the_template_did_not_write_is_refused(both: Any) -> None:
    """Put at every place of a prompt, put in place of every token, and every token left out."""
    read, template, tokenizer = both
    good = template.encode(TALK)
    controls = sorted(tokenizer.control_tokens.values())
    accepted = 0
    for at in range(len(good) + 1):
        for control in controls:
            for bad in ([*good[:at], control, *good[at:]], [*good[:at], control, *good[at + 1 :]]):
                try:
                    messages, _ = read.asked(bad)
                except Refusal:
                    continue
                accepted += 1
                assert template.encode(messages) == bad  # then it is a conversation of its own
    assert accepted < len(good)
    refused(read.asked, good[:-1])
    refused(read.asked, good[1:])


def test_ids_that_no_text_gives_are_refused(both: Any) -> None:
    read, template, tokenizer = both
    merged = tokenizer.encode_text("hello")
    letters = [tokenizer.encode_text(letter)[0] for letter in "hello"]
    assert len(merged) < 5
    refused(read.asked, letters)  # the same text, in other pieces
    prompt = template.encode((Message("user", "hello"),))
    at = next(i for i in range(len(prompt)) if prompt[i : i + len(merged)] == merged)
    refused(read.asked, [*prompt[:at], *letters, *prompt[at + len(merged) :]])


def datum(both: Any, turns: list[tuple[str, str]], **changes: Any) -> WireDatum:
    """What a careful client sends: all that assistants say is learnt."""
    _, template, tokenizer = both
    controls = frozenset(tokenizer.control_tokens.values())

    def encode(plain: Any) -> list[int]:
        return template.encode([Message(role, text) for role, text in plain])

    example = mark([Turn(role, text) for role, text in turns], encode, controls)  # type: ignore[arg-type]
    assert example is not None
    weights = tuple(map(float, example.learnt[1:]))
    values = {"ids": example.ids[:-1], "targets": example.ids[1:], "weights": weights}
    return WireDatum(**(values | changes))


TURNS = [("user", "hello world"), ("assistant", "one two"), ("user", "end"), ("assistant", "three")]


def test_a_datum_is_what_a_file_would_have_brought(both: Any) -> None:
    read, _, _ = both
    by = random.Random(1)
    for count in (2, 4):
        sent = datum(both, TURNS[:count])
        example = read.example(sent, POLICY)
        assert example.ids == (sent.ids[0], *sent.targets)
        assert example.learnt == (False, *(weight == 1 for weight in sent.weights))
        marked = [at for at, weight in enumerate(sent.weights) if weight]
        fewer = list(sent.weights)
        fewer[by.choice(marked)] = 0.0
        assert read.example(sent._replace(weights=tuple(fewer)), POLICY).supervised == (
            len(marked) - 1
        )


def test_a_newline_behind_the_last_message_is_passed_over() -> None:
    tokenizer = ModelTokenizer(small_tokenizer().to_str().encode(), 404)
    named = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    template = ChatTemplate(TEMPLATE, named, tokenizer)
    both = (Conversations(template, tokenizer), template, tokenizer)
    sent = datum(both, TURNS[:2])
    whole = template.encode([Message(role, text) for role, text in TURNS[:2]])  # type: ignore[arg-type]
    longer = (*sent.targets, whole[len(sent.targets) + 1])
    more = WireDatum((*sent.ids, sent.targets[-1]), longer, (*sent.weights, 0.0))
    assert both[0].example(more, POLICY) == both[0].example(sent, POLICY)
    assert "no assistant" in refused(
        both[0].example, more._replace(weights=(*sent.weights, 1.0)), POLICY
    )


def test_what_a_file_could_not_bring_is_refused(both: Any) -> None:
    read, _, tokenizer = both
    good = datum(both, TURNS)
    controls = sorted(tokenizer.control_tokens.values())
    asked = tuple(0.0 if at else 1.0 for at in range(len(good.weights)))
    refusals = {
        "equally many": good._replace(weights=good.weights[:-1]),
        "that follow": good._replace(targets=(controls[0], *good.targets[1:])),
        "neither 0 nor 1": good._replace(weights=(*good.weights[:-1], 1e-6)),
        "no assistant": good._replace(weights=asked),
        "too little": good._replace(weights=(0.0,) * len(good.weights)),
    }
    for why, bad in refusals.items():
        assert why in refused(read.example, bad, POLICY)
    assert "more than" in refused(read.example, good, Policy(most_tokens=8))
    assert "equally many" in refused(read.example, WireDatum((), (), ()), POLICY)
    whole = (good.ids[0], *good.targets)
    for at in range(len(whole)):
        for control in controls:
            ids = (*whole[:at], control, *whole[at + 1 :])
            bad = WireDatum(ids[:-1], ids[1:], good.weights)
            if ids != whole:
                refused(read.example, bad, POLICY)
    cut = WireDatum(good.ids[:-1], good.targets[:-1], good.weights[:-1])
    refused(read.example, cut, POLICY)  # nothing ends the last message
    plain = tuple(tokenizer.encode_text("hello world, one two three"))
    bare = WireDatum(plain[:-1], plain[1:], (1.0,) * (len(plain) - 1))
    refused(read.example, bare, POLICY)
