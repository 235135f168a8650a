"""Every request ends in the record, whatever became of it, before its caller has the last byte."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2 as httpx
import openai
import pytest

from strongroom.boundary.charging import ENDING, millibits, token_charge
from strongroom.ledger.entries import AnyEntry, Refused, RequestFinal, RequestIntent
from strongroom.store.limits import Amounts, Limits

from .conftest import MODEL, Door, OpenDoor

ASK = [{"role": "user", "content": "hello"}]
BODY = {"model": MODEL, "messages": ASK}


def chat(door: Door, **fields: object) -> httpx.Response:
    return httpx.post(
        f"{door.url}/v1/chat/completions",
        json={**BODY, **fields},
        headers={"authorization": f"Bearer {door.key}"},
    )


def of(door: Door, request: str) -> list[AnyEntry]:
    return [each for each in door.records() if getattr(each, "request", "") == request]


def final_of(door: Door, request: str) -> tuple[RequestIntent, RequestFinal]:
    intent, final = of(door, request)
    assert isinstance(intent, RequestIntent)
    assert isinstance(final, RequestFinal)
    assert all(intent.reserved.get(name, 0) >= spent for name, spent in final.settled.items())
    return intent, final


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_and_what_it_cost(door: Door, stream: bool) -> None:
    answer = chat(door, stream=stream, max_tokens=50)
    intent, final = final_of(door, answer.headers["x-request-id"])  # with the last byte: durable
    assert (intent.organisation, intent.route, intent.model) == ("acme", "chat", MODEL)
    assert door.key.split("_")[1] == intent.key_id
    assert final.outcome == "answered"
    frame = door.keeper.generated()[-1]
    tokens = len(door.keeper.tokenizer.encode(door.keeper.answer).ids)
    position = token_charge(door.keeper.card.vocab_size)
    assert final.settled["input_tokens"] == len(frame.tokens)
    assert final.settled["output_tokens"] == tokens
    assert final.settled["egress_millibits"] == millibits(ENDING + (tokens + 1) * position)
    assert intent.reserved["output_tokens"] == 50
    assert len(intent.input_digest) == len(final.output_digest) == 64


def test_equal_texts_have_equal_digests_and_none_shows(door: Door) -> None:
    first, second = (chat(door).headers["x-request-id"] for _ in range(2))
    other = chat(door, messages=[{"role": "user", "content": "world"}]).headers["x-request-id"]
    digests = [final_of(door, each)[0].input_digest for each in (first, second, other)]
    assert digests[0] == digests[1] != digests[2]
    assert "hello" not in repr(door.records())
    assert door.key not in repr(door.records())


def test_a_caller_who_hangs_up(door: Door) -> None:
    door.keeper.answer, door.keeper.pause = "one two three " * 100, 0.02
    stream = door.client().chat.completions.with_streaming_response.create(
        model=MODEL, messages=ASK, stream=True
    )
    with stream as response:
        request = response.headers["x-request-id"]
        next(response.iter_lines())
    eventually(lambda: len(of(door, request)) == 2)
    _, final = final_of(door, request)
    assert (final.outcome, final.code) == ("abandoned", "gateway.client_gone")
    assert 0 < final.settled["output_tokens"] < 200


def test_a_refusal_by_the_keeper(door: Door) -> None:
    door.keeper.refuse = "keeper.egress_exhausted"
    answer = chat(door)
    assert answer.status_code == 429
    _, final = final_of(door, answer.headers["x-request-id"])
    assert (final.outcome, final.code) == ("failed", "keeper.egress_exhausted")
    assert final.settled == {"requests": 1}


def test_refusals_are_all_counted(door: Door) -> None:
    before, began = len(door.records()), time.monotonic()
    for _ in range(40):
        assert chat(door, seed=1).status_code == 400
        assert httpx.get(f"{door.url}/nowhere").status_code == 404
        assert httpx.get(f"{door.url}/v1/models").status_code == 401

    def counted() -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for each in door.records()[before:]:
            if isinstance(each, Refused):
                kind = (each.code, each.organisation)
                found[kind] = found.get(kind, 0) + each.counts.get("times", 1)
        return found

    wanted = {
        ("gateway.parameter_not_allowed", "acme"): 40,
        ("gateway.no_route", ""): 40,
        ("gateway.invalid_api_key", ""): 40,
    }
    eventually(lambda: counted() == wanted)
    seconds = time.monotonic() - began  # however busy this machine is
    assert len(door.records()) - before <= 2 * len(wanted) * (seconds + 1)


def test_a_killed_gateway_leaves_a_request_that_the_next_one_closes(open_door: OpenDoor) -> None:
    door = open_door()
    door.keeper.answer, door.keeper.pause = "one two three " * 100, 0.02
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    next(iter(stream))
    door.process.kill()
    door.process.wait()
    (intent,) = (each for each in door.records() if isinstance(each, RequestIntent))
    door.restart()
    _, final = final_of(door, intent.request)
    assert (final.outcome, final.settled) == ("lost", intent.reserved)


def test_a_restart_remembers_what_was_spent(open_door: OpenDoor) -> None:
    door = open_door()
    door.store.set_organisation_limits("acme", Limits(day=Amounts(output_tokens=100)))
    time.sleep(0.6)  # the gateway trusts what it knows of a key for half a second
    spent = chat(door, max_tokens=60).json()["usage"]["completion_tokens"]
    door.process.terminate()
    door.process.wait()
    door.restart()
    refused = chat(door, max_tokens=100)
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-remaining-output-tokens"] == str(100 - spent)


@pytest.mark.parametrize("damage", ["deleted", "altered"])
def test_a_missing_or_damaged_log_stops_the_start(open_door: OpenDoor, damage: str) -> None:
    door = open_door()
    assert chat(door).status_code == 200
    door.process.terminate()
    door.process.wait()
    folder = door.state / "log" / "gateway"
    if damage == "deleted":
        folder.rename(door.state / "elsewhere")
    else:
        bundle = next(path for path in (folder / "tile" / "entries").rglob("*") if path.is_file())
        raw = bytearray(bundle.read_bytes())
        raw[len(raw) // 2] ^= 1
        bundle.write_bytes(raw)
    with pytest.raises(RuntimeError, match=r"ledger\."):
        door.restart()


def test_a_limit_makes_the_official_client_wait(open_door: OpenDoor) -> None:
    door = open_door()
    door.store.set_organisation_limits("acme", Limits(minute=Amounts(requests=60), burst=2))
    time.sleep(0.6)
    patient = openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.key, max_retries=5)
    started = time.monotonic()
    for _ in range(4):  # two at once, then one a second
        assert patient.chat.completions.create(model=MODEL, messages=ASK).choices
    assert 1.0 < time.monotonic() - started < 15
    refused = [each for each in door.records() if isinstance(each, Refused)]
    assert {each.code for each in refused} == {"gateway.limit_reached"}


def test_answers_say_how_the_limits_stand(open_door: OpenDoor) -> None:
    door = open_door()
    limits = Limits(minute=Amounts(requests=2, input_tokens=1000, output_tokens=1000))
    door.store.set_organisation_limits("acme", limits)
    time.sleep(0.6)
    answer = chat(door, max_tokens=10)
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert answer.headers["x-ratelimit-remaining-output-tokens"] == "990"
    bad = chat(door, seed=1)  # what cannot be parsed costs a request as well
    assert bad.status_code == 400
    assert bad.headers["x-ratelimit-remaining-requests"] == "0"
    refused = chat(door)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"
    small = openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.new_key("small"), max_retries=9)
    door.store.set_organisation_limits("small", Limits(total=Amounts(output_tokens=5)))
    with pytest.raises(openai.RateLimitError) as caught:  # at once: waiting would not help
        small.chat.completions.create(model=MODEL, messages=ASK, max_tokens=6)
    assert caught.value.code == "gateway.limit_too_small"
