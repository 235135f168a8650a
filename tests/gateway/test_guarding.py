"""Detection and the content policy in a running gateway: what is recorded, refused, and let out."""

from __future__ import annotations

import json
import random
import time

import openai
import pytest

from strongroom.gateway.content.config import ContentConfig, Rule
from strongroom.gateway.detection.interface import DetectionConfig
from strongroom.ledger.entries import Refused, RequestFinal, Signal
from strongroom.store.limits import Amounts, Limits

from .conftest import MODEL, Door, OpenDoor

WORDS = ("hello", "world", "one", "two", "three", "the", "quick", "brown", "fox", "lazy", "dog")


def sweep(door: Door, client: openai.OpenAI, most: int = 300) -> int:
    """Fill a template until refused; how many were answered."""
    generator = random.Random(1)
    for number in range(most):
        chosen = " ".join(generator.choice(WORDS) for _ in range(4))
        try:
            client.completions.create(model=MODEL, prompt=f"one two three {chosen}", max_tokens=1)
        except openai.PermissionDeniedError as error:
            return number if error.code == "gateway.suspended" else -1
    return most


def signals(door: Door) -> list[Signal]:
    for _ in range(50):
        found = [each for each in door.records() if isinstance(each, Signal)]
        if found:
            return found
        time.sleep(0.1)
    return []


def test_a_signal_suspends_only_if_the_policy_says_so(open_door: OpenDoor) -> None:
    door = open_door(detection=DetectionConfig(action="suspend"))
    assert 64 < sweep(door, door.client()) < 300
    found = signals(door)
    assert [(each.detector, each.organisation, each.action) for each in found] == [
        ("grid", "acme", "suspend")
    ]
    assert found[0].score > found[0].threshold
    assert not any(word in repr(found[0]) for word in ("quick", "brown", "jumps"))
    other = door.client(door.new_key("other"))
    assert other.completions.create(model=MODEL, prompt="hello world", max_tokens=1).choices


def test_throttled_requests_count_for_many(open_door: OpenDoor) -> None:
    door = open_door(detection=DetectionConfig(action="throttle", factor=50))
    door.store.set_organisation_limits("acme", Limits(total=Amounts(requests=400)))
    with pytest.raises(openai.RateLimitError):
        sweep(door, door.client(), 400)
    answered = len(door.keeper.generated())
    assert [each.action for each in signals(door)] == ["throttle"]
    assert answered < 200


@pytest.mark.parametrize("enabled", [True, False])
def test_by_default_a_signal_is_recorded_and_nothing_else(
    open_door: OpenDoor, enabled: bool
) -> None:
    door = open_door(detection=DetectionConfig(enabled=enabled))
    assert sweep(door, door.client(), 220) == 220
    found = [each for each in door.records() if isinstance(each, Signal)] or (
        signals(door) if enabled else []
    )
    assert [each.action for each in found] == (["none"] if enabled else [])


RULES = ContentConfig(rules=(Rule("secret", "brown fox jumps"),))


@pytest.mark.parametrize("stream", [True, False])
def test_forbidden_text_never_leaves(open_door: OpenDoor, stream: bool) -> None:
    pytest.importorskip("re2")
    door = open_door(content=RULES)
    door.keeper.answer = "one two the quick brown fox jumps over"
    left = ""
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012 - the stream breaks off inside
        answer = door.client().completions.create(model=MODEL, prompt="hello", stream=stream)
        for chunk in answer:  # type: ignore[union-attr]
            left += chunk.choices[0].text  # type: ignore[union-attr]
    assert caught.value.code == "gateway.content_refused"
    assert "brown fox jumps over".startswith(
        left.partition("brown")[1] + left.partition("brown")[2]
    )
    assert "jumps" not in left
    final = [each for each in door.records() if isinstance(each, RequestFinal)][-1]
    assert (final.outcome, final.code) == ("failed", "gateway.content_refused")


@pytest.mark.parametrize("stream", [True, False])
def test_allowed_text_leaves_whole(open_door: OpenDoor, stream: bool) -> None:
    pytest.importorskip("re2")
    door = open_door(content=RULES)
    door.keeper.answer = "one two the quick brown fox over"
    plain = open_door()
    plain.keeper.answer = door.keeper.answer

    def said(client: openai.OpenAI, stop: str | None) -> str:
        asked = {"model": MODEL, "prompt": "hello", "max_tokens": 60, "stop": stop}
        if stream:
            chunks = client.completions.create(**asked, stream=True)  # type: ignore[call-overload]
            return "".join(chunk.choices[0].text for chunk in chunks)
        return str(client.completions.create(**asked).choices[0].text)  # type: ignore[call-overload]

    assert said(door.client(), None) == said(plain.client(), None) != ""
    assert said(door.client(), "brown") == said(plain.client(), "brown") != ""


def test_forbidden_input_and_scores_are_refused_before_the_keeper(open_door: OpenDoor) -> None:
    pytest.importorskip("re2")
    door = open_door(content=RULES)
    ask = [{"role": "user", "content": "the brown fox jumps"}]
    with pytest.raises(openai.PermissionDeniedError, match="rule `secret`") as caught:
        door.client().chat.completions.create(model=MODEL, messages=ask)  # type: ignore[arg-type]
    assert "fox" not in json.dumps(caught.value.body)
    trusted = door.client(door.new_key("trusted"))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        trusted.completions.create(model=MODEL, prompt="hello", logprobs=2)
    assert caught.value.code == "gateway.content_scores"
    assert door.keeper.generated() == []
    time.sleep(0.2)
    codes = [each.code for each in door.records() if isinstance(each, Refused)]
    assert codes == ["gateway.content_refused", "gateway.content_scores"]
