"""The moderation service as it should be, and each way that it can fail: nothing passes then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.content.config import ContentConfig, Moderation, Rule
from strongroom.gateway.content.interface import ContentPolicy
from strongroom.gateway.content.moderation_http import HttpModeration
from strongroom.gateway.content.opening import open_policy
from strongroom.gateway.refusals import Refusal

Answer = Callable[[bytes, bytes], bytes | None]
"""From head and body of a request to the bytes answered; None keeps the caller waiting."""


def honest(head: bytes, body: bytes) -> bytes:
    flagged = "forbidden" in json.loads(body)["input"]
    return b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"results": [{"flagged": flagged}]}).encode()


def serve(answer: Answer, work: Callable[[str], Awaitable[None]]) -> list[tuple[bytes, bytes]]:
    """Run ``work`` with the address of such a service; the requests it got."""
    asked: list[tuple[bytes, bytes]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line
        )
        body = await reader.readexactly(length)
        asked.append((head, body))
        said = answer(head, body)
        if said is None:
            await asyncio.sleep(5)
        else:
            writer.write(said)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await work(f"http://127.0.0.1:{port}/v1/moderations")
        server.close()

    asyncio.run(run())
    return asked


def code_of(answer: Answer, text: str = "harmless") -> str:
    codes: list[str] = []

    async def work(url: str) -> None:
        try:
            await HttpModeration(Moderation(url, seconds=0.3)).check_input(text)
            codes.append("passed")
        except Refusal as refusal:
            codes.append(refusal.code if text not in refusal.sentence else "quoted")

    serve(answer, work)
    return codes[0]


def test_it_asks_as_openai_wants_and_believes_the_answer() -> None:
    async def work(url: str) -> None:
        policy = HttpModeration(Moderation(url, model="m"), "sk-token")
        await policy.check_input("good")
        with pytest.raises(Refusal, match=r"gateway\.content_refused"):
            await policy.check_input("something forbidden")
        assert "sk-token" not in repr(policy)

    asked = serve(honest, work)
    head, body = asked[0]
    assert head.startswith(b"POST /v1/moderations HTTP/1.0\r\n")
    assert b"authorization: Bearer sk-token\r\n" in head
    assert json.loads(body) == {"input": "good", "model": "m"}


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"HTTP/1.1 500 Oops\r\n\r\n" + b'{"results":[{"flagged":false}]}',
        b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n" + b'{"results":[{"flagged":false}]}',
        b"SMTP/1.1 200 OK\r\n\r\n" + b'{"results":[{"flagged":false}]}',
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"results":[]}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"results":[{}]}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"results":[{"flagged":0}]}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"results":[{"flagged":false}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 300_000 + b'{"results":[{"flagged":false}]}',
    ],
)
def test_whatever_is_no_judgement_lets_nothing_pass(said: bytes | None) -> None:
    assert code_of(lambda head, body: said) == "gateway.content_unjudged"
    assert code_of(honest) == "passed"


def test_nobody_there() -> None:
    policy = HttpModeration(Moderation("http://127.0.0.1:9/", seconds=0.3))
    with pytest.raises(Refusal, match=r"gateway\.content_unjudged"):
        asyncio.run(policy.check_input("text"))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_forbidden_word_split_over_segments_never_begins_to_leave(size: int) -> None:
    text = "x" * 45 + "forbidden" + "y" * 90
    left: list[str] = []

    async def work(url: str) -> None:
        scan = HttpModeration(Moderation(url, segment=16, overlap=8)).output()

        async def push_all() -> None:
            for start in range(0, len(text), size):
                left.append(await scan.push(text[start : start + size]))

        with pytest.raises(Refusal, match=r"gateway\.content_refused"):
            await push_all()

    serve(honest, work)
    assert text.startswith("".join(left))
    assert len("".join(left)) <= 45


def test_allowed_text_leaves_unchanged_and_is_held_no_longer_than_promised() -> None:
    text = "The quick brown fox. " * 20

    async def work(url: str) -> None:
        scan = HttpModeration(Moderation(url, segment=32, overlap=8)).output()
        left = ""
        for at, character in enumerate(text):
            left += await scan.push(character)
            assert at + 1 - len(left) <= scan.held_limit
        assert left + await scan.finish() == text

    serve(honest, work)


def test_long_input_is_judged_in_pieces_that_overlap() -> None:
    async def work(url: str) -> None:
        policy = HttpModeration(Moderation(url, overlap=16))
        for start in (0, 16_376, 16_368, 32_740, 39_991):
            text = "z" * start + "forbidden"
            with pytest.raises(Refusal, match=r"gateway\.content_refused"):
                await policy.check_input(text + "z" * (40_000 - len(text)))
        await policy.check_input("z" * 40_000)
        await policy.check_input("")

    serve(honest, work)


@pytest.mark.parametrize(
    "url",
    ["http://moderation.example/", "ftp://localhost/", "https://user@host/", "https://", "x",
     "https://host:port/", "https://host/a b", "https://hóst/", "https://host/\r\nx: y"],
)  # fmt: skip
def test_addresses_that_would_leak_or_fail(url: str) -> None:
    with pytest.raises(ConfigurationRefused, match=r"gateway\.content_service"):
        HttpModeration(Moderation(url))
    HttpModeration(Moderation("https://moderation.example/v1/moderations"))


def test_the_token_is_read_from_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    config = ContentConfig(moderation=Moderation("https://host/", token_file=str(file)))
    with pytest.raises(ConfigurationRefused, match=r"gateway\.content_service"):
        open_policy(config)
    file.write_text("sk-1\n")
    file.chmod(0o644)
    with pytest.raises(ConfigurationRefused, match="other users"):
        open_policy(config)
    file.chmod(0o600)
    assert isinstance(open_policy(config), HttpModeration)
    file.write_bytes(b"sk-1\r\nevil: 1")
    with pytest.raises(ConfigurationRefused, match=r"gateway\.content_service"):
        open_policy(config)


def test_rules_come_before_the_service_and_both_must_agree() -> None:
    pytest.importorskip("re2")
    seen: list[str] = []

    def answer(head: bytes, body: bytes) -> bytes:
        seen.append(json.loads(body)["input"])
        return honest(head, body)

    async def work(url: str) -> None:
        config = ContentConfig((Rule("r", "secret"),), Moderation(url, segment=16, overlap=9))
        policy: ContentPolicy | None = open_policy(config)
        assert policy is not None
        for text in ("a secret", "a forbidden"):
            with pytest.raises(Refusal, match=r"gateway\.content_refused"):
                await policy.check_input(text)
        scan = policy.output()
        text = "quite harmless words, and more of them than a segment"
        left = "".join([await scan.push(character) for character in text])
        assert left + await scan.finish() == text

    serve(answer, work)
    assert not any("secret" in text for text in seen)
