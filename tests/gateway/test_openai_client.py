"""The official client sees OpenAI's API."""

from __future__ import annotations

import asyncio
import time
import urllib.request

import openai
import pytest
from openai import AsyncOpenAI
from tokenizers import Tokenizer

from strongroom.boundary.frames import Cancel, Sampling

from .conftest import MODEL, Door

ASK = [{"role": "user", "content": "hello"}]


def test_chat(door: Door) -> None:
    answer = door.client().chat.completions.create(model=MODEL, messages=ASK)
    assert answer.choices[0].message.content == "hello world"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens == len(door.keeper.generated()[0].tokens)
    assert answer.system_fingerprint is None


def test_what_is_forwarded(door: Door, tokenizer: Tokenizer) -> None:
    door.client().chat.completions.create(
        model=MODEL, messages=ASK, temperature=0.5, top_p=0.25, max_tokens=3
    )
    (frame,) = door.keeper.generated()
    rendered = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert list(frame.tokens) == tokenizer.encode(rendered, add_special_tokens=False).ids
    assert frame.sampling == Sampling(temperature=0.5, top_p=0.25)
    assert (frame.max_tokens, frame.tenant, frame.top_logprobs) == (3, "acme", 0)


def test_stream(door: Door) -> None:
    stream = door.client().chat.completions.create(
        model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "hello world"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_completion(door: Door) -> None:
    client = door.client()
    answer = client.completions.create(model=MODEL, prompt="the quick")
    assert answer.choices[0].text == "hello world"
    assert door.keeper.generated()[0].max_tokens == 16
    chunks = list(client.completions.create(model=MODEL, prompt="the quick", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "hello world"


def test_many_at_once(door: Door) -> None:
    async def run() -> list[str]:
        async with AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.key) as client:
            calls = [
                client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=20)
                for _ in range(30)
            ]
            return [a.choices[0].message.content for a in await asyncio.gather(*calls)]

    door.keeper.pause = 0.002
    assert asyncio.run(run()) == ["hello world"] * 30


def test_hanging_up_cancels_at_the_keeper(door: Door) -> None:
    door.keeper.answer = "one two three " * 100
    door.keeper.pause = 0.02
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    next(iter(stream))
    assert not [f for f in door.keeper.frames if isinstance(f, Cancel)]
    stream.close()
    deadline = time.monotonic() + 5
    while not [f for f in door.keeper.frames if isinstance(f, Cancel)]:
        assert time.monotonic() < deadline, "the keeper was never told"
        time.sleep(0.01)
    door.keeper.pause = 0
    assert door.client().chat.completions.create(model=MODEL, messages=ASK, max_tokens=2).choices


@pytest.mark.parametrize("stream", [False, True])
def test_stop_string(door: Door, stream: bool) -> None:
    door.keeper.answer = "one two three"
    answer = door.client().chat.completions.create(
        model=MODEL, messages=ASK, stop=["zzz", "o thr"], stream=stream
    )
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer)
    else:
        text = answer.choices[0].message.content
        assert answer.choices[0].finish_reason == "stop"
    assert text == "one tw"


def test_length(door: Door) -> None:
    answer = door.client().chat.completions.create(model=MODEL, messages=ASK, max_tokens=1)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 1


def test_max_tokens_is_always_bounded(door: Door) -> None:
    door.client().chat.completions.create(model=MODEL, messages=ASK, max_tokens=2**30)
    door.client().chat.completions.create(model=MODEL, messages=ASK)
    for frame in door.keeper.generated():
        assert frame.max_tokens + len(frame.tokens) == 512


def test_split_characters_arrive_whole(door: Door) -> None:
    door.keeper.answer = "naïve 😀 日本"
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    pieces = [c.choices[0].delta.content or "" for c in stream]
    assert "".join(pieces) == "naïve 😀 日本"
    assert not any("\ufffd" in piece for piece in pieces)


def test_models(door: Door) -> None:
    client = door.client()
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=ASK)


def test_log_probabilities_only_where_the_rung_grants_them(door: Door) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK, logprobs=True)
    assert caught.value.param == "logprobs"
    assert not door.keeper.generated()
    trusted = door.client(door.new_key("trusted"))
    answer = trusted.chat.completions.create(
        model=MODEL, messages=ASK, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in content) == "hello world"
    assert all(len(entry.top_logprobs) == 3 for entry in content)
    assert content[0].logprob == -0.5
    assert door.keeper.generated()[-1].top_logprobs == 3
    with pytest.raises(openai.BadRequestError):
        trusted.chat.completions.create(model=MODEL, messages=ASK, logprobs=True, top_logprobs=6)
    one = door.client(door.new_key("one"))
    assert one.chat.completions.create(model=MODEL, messages=ASK, logprobs=True).choices
    with pytest.raises(openai.BadRequestError):
        one.chat.completions.create(model=MODEL, messages=ASK, logprobs=True, top_logprobs=1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("keeper.egress_exhausted", openai.RateLimitError),
        ("keeper.closed", openai.PermissionDeniedError),
        ("keeper.queue_full", openai.InternalServerError),
        ("keeper.too_long", openai.BadRequestError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_keepers_refusals_become_statuses(
    door: Door, code: str, kind: type[openai.APIStatusError], stream: bool
) -> None:
    door.keeper.refuse = code
    with pytest.raises(kind) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK, stream=stream)
    assert caught.value.code == code
    assert "Do otherwise." in caught.value.message


def test_requests_that_ask_the_model_for_nothing_are_counted_too(door: Door) -> None:
    def counted(line: str) -> float:
        text = urllib.request.urlopen(f"{door.operators}/metrics").read().decode()
        found = [row for row in text.splitlines() if row.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    served = 'strongroom_requests_finished_total{reason="served"}'
    started = 'strongroom_requests_started_total{route="other"}'
    before = counted(served), counted(started)
    door.client().models.list()
    urllib.request.urlopen(f"{door.url}/healthz").read()
    with pytest.raises(openai.AuthenticationError):
        door.client("sr_wrong").models.list()
    assert (counted(served), counted(started)) == (before[0] + 2, before[1] + 3)
