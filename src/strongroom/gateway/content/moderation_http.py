"""A service that speaks as OpenAI's ``POST /v1/moderations`` does, asked over HTTP.

Text passes only after an answer of status 200 whose every result says ``"flagged": false``, within
the time allowed. Anything else refuses it. Neither text nor answer is logged or quoted.

HTTP/1.0 and one connection a judgement: no chunked answers to decode, no state that could pair an
answer with another's text.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.content.config import Moderation
from strongroom.gateway.content.interface import MAX_HELD, ContentPolicy, Scan, refused, unjudged

RULE: Final = "moderation"

_MOST_BYTES: Final = 256 * 1024
_MOST_AT_ONCE: Final = 64
_PIECE: Final = 16_384


class _Result(msgspec.Struct, frozen=True):
    flagged: bool


class _Verdict(msgspec.Struct, frozen=True):
    results: Annotated[list[_Result], Meta(min_length=1)]


_verdict = msgspec.json.Decoder(_Verdict)


class HttpModeration(ContentPolicy):
    """Asks the service about each prompt, and about answers in overlapping segments.

    Args:
        settings: where it is and how long it may take.
        token: its bearer token, if it wants one.

    Raises:
        ConfigurationRefused: ``gateway.content_service``.
    """

    def __init__(self, settings: Moderation, token: str = "") -> None:
        address, port = _address(settings.url)
        host = address.hostname or ""
        if address.scheme not in ("https", "http") or not host or address.username is not None:
            raise _bad_service("its address is not an http or https URL")
        if address.scheme == "http" and not _is_loopback(host):
            raise _bad_service("its address is neither https nor on this machine")
        if settings.segment + settings.overlap > MAX_HELD:
            raise _bad_service(f"segment and overlap are more than {MAX_HELD} characters")
        if not token.isascii() or not token.isprintable():
            raise _bad_service("its token holds characters that a header cannot")
        self._settings = settings
        self._host = host
        self._port = port or (443 if address.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        bearer = f"authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {target} HTTP/1.0\r\nhost: {address.netloc}\r\n"
            f"content-type: application/json\r\naccept: application/json\r\n{bearer}"
        )
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    def __repr__(self) -> str:
        return f"HttpModeration({self._host!r})"

    async def check_input(self, text: str) -> None:
        """See ``ContentPolicy``. Long text is judged in pieces that overlap."""
        if not self._settings.input:
            return
        step = _PIECE - self._settings.overlap
        for start in range(0, max(1, len(text) - self._settings.overlap), step):
            await self.judge(text[start : start + _PIECE])

    def output(self) -> Scan:
        """See ``ContentPolicy``."""
        return _Segments(self, self._settings)

    async def judge(self, text: str) -> None:
        """Refuse text that the service flags, or that it does not judge in time."""
        asked = {"input": text}
        if self._settings.model:
            asked["model"] = self._settings.model
        try:
            async with asyncio.timeout(self._settings.seconds), self._places:
                answer = await self._ask(msgspec.json.encode(asked))
            head, _, body = answer.partition(b"\r\n\r\n")
            if head.split(b" ", 2)[1:2] != [b"200"] or not head.startswith(b"HTTP/1."):
                raise unjudged()
            verdict = _verdict.decode(body)
        except (OSError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError):
            raise unjudged() from None
        if any(result.flagged for result in verdict.results):
            raise refused(RULE)

    async def _ask(self, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            writer.write(f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = bytearray()
            while chunk := await reader.read(65_536):
                answer += chunk
                if len(answer) > _MOST_BYTES:
                    raise unjudged()
            return bytes(answer)
        finally:
            writer.transport.abort()


class _Segments(Scan):
    """Shows a character once it was judged together with ``overlap`` characters after it."""

    def __init__(self, service: HttpModeration, settings: Moderation) -> None:
        self._service = service
        self._overlap = settings.overlap
        self._enough = settings.segment + settings.overlap
        self._judges = settings.output
        self._before = ""
        self._held = ""
        self.held_limit = self._enough

    async def push(self, text: str) -> str:
        if not self._judges:
            return text
        self._held += text
        if len(self._held) <= self._enough:
            return ""
        return await self._judge(len(self._held) - self._overlap)

    async def finish(self) -> str:
        return await self._judge(len(self._held)) if self._held else ""

    async def _judge(self, end: int) -> str:
        await self._service.judge(self._before + self._held)
        shown, self._held = self._held[:end], self._held[end:]
        self._before = (self._before + shown)[-self._overlap :] if self._overlap else ""
        return shown


def _address(url: str) -> tuple[SplitResult, int | None]:
    try:
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError
        address = urlsplit(url)
        return address, address.port
    except ValueError:
        raise _bad_service("its address is not a URL") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bad_service(reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.content_service",
        f"The moderation service cannot be used: {reason}.",
        action="Correct [content.moderation] in strongroom.toml.",
    )
