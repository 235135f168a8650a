"""The gateway's end of the socket to the keeper: many requests over one stream.

1. The first frame must be ``Hello`` of our protocol version.
2. Each request has an id of its own; its frames go into its own bounded queue.
3. A request that nobody reads any more is cancelled; its late frames are dropped until its end.
4. A frame that is malformed, for an id never given out, or beyond what was asked for closes the
   connection. Once it is closed, whoever closed it, every request fails and no new one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import Final, TypeVar, cast

from strongroom.boundary import codec
from strongroom.boundary.frames import (
    PROTOCOL,
    AskStatus,
    Cancel,
    Classify,
    Done,
    Generate,
    Hello,
    Labels,
    ModelCard,
    Refused,
    Status,
    ToGateway,
    ToKeeper,
    Tokens,
)
from strongroom.errors import BoundaryRefused, StrongroomError
from strongroom.gateway.refusals import Refusal

_MOST_QUEUED: Final = 4096
_MOST_REQUESTS: Final = 4096
_END_SECONDS: Final = 0.5
"""How long the end of a cancelled request is waited for: usually a step of the model."""

_RETRY: Final = ((b"retry-after", b"10"),)
_STATUS: Final = {
    "keeper.egress_exhausted": 429,
    "keeper.logprobs_not_granted": 403,
    "keeper.scores_not_granted": 403,
    "keeper.scores_exhausted": 403,
    "keeper.closed": 403,
    "keeper.queue_full": 503,
    "keeper.time_over": 503,
    "keeper.not_finite": 503,
}
"""HTTP status of the keeper's refusals; 400 for those not named."""

Answer = Tokens | Done | Labels | Refused
_Ask = Generate | Classify
_A = TypeVar("_A", Generate, Classify)


class Exchange:
    """One request at the keeper. Use as an async context manager: leaving it early cancels.

    Once ``ended``, ``done`` is how it ended, unless ``refused`` or the keeper is gone.
    """

    def __init__(self, client: KeeperClient, request: _Ask) -> None:
        self.request = request
        self.ended = False
        self._client = client
        self._answers: deque[Answer | None] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._failed = False
        self._over: asyncio.Future[None] | None = None
        self.done: Done | None = None
        self.refused = False
        self._left = request.max_tokens if isinstance(request, Generate) else 0

    async def next(self) -> Tokens | Done | Labels:
        """The next frame of the answer.

        Raises:
            Refusal: what the keeper refused, 503 ``gateway.keeper_gone`` or
                ``gateway.slow_reader``.
        """
        if not self._answers:
            if self._failed:
                raise _gone() if self._client.closed.is_set() else _slow()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        answer = self._answers.popleft()
        if answer is None:
            raise _gone()
        if isinstance(answer, Refused):
            raise _refusal(answer)
        return answer

    def waiting(self) -> list[Tokens | Done | Labels]:
        """The frames that have come, without waiting, up to one for which ``next`` would raise."""
        found: list[Tokens | Done | Labels] = []
        while self._answers and isinstance(answer := self._answers[0], Tokens | Done | Labels):
            found.append(answer)
            self._answers.popleft()
        return found

    @property
    def ready(self) -> bool:
        """Whether ``next`` would return or raise at once."""
        return self._failed or bool(self._answers)

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.ended:
            self._client.cancel(self)
            if isinstance(self.request, Generate):
                await self._wait_for_end()

    @property
    def received(self) -> int:
        """Tokens that the keeper has sent, those that nobody read any more included."""
        asked = self.request.max_tokens if isinstance(self.request, Generate) else 0
        return asked - self._left

    async def _wait_for_end(self) -> None:
        """What a cancelled request did cost is known when the keeper has ended it."""
        self._over = asyncio.get_running_loop().create_future()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over, _END_SECONDS)

    def deliver(self, answer: Answer) -> bool:
        """Queue an answer; false when the reader is too slow."""
        if not isinstance(answer, Tokens):
            self.done = answer if isinstance(answer, Done) else None
            self.refused = isinstance(answer, Refused)
            self._end()
        if self._failed:
            return True
        if len(self._answers) >= _MOST_QUEUED:
            self._failed = True
            return False
        self._put(answer)
        return True

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._failed = True

    def fail(self) -> None:
        """The keeper is gone: wake the reader."""
        self._failed = True
        self._end()
        self._put(None)

    def _put(self, answer: Answer | None) -> None:
        self._answers.append(answer)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _end(self) -> None:
        self.ended = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def check(self, answer: Answer, card: ModelCard) -> None:
        """Refuse an answer that goes beyond the request: rule 4."""
        if isinstance(answer, Refused):
            return
        if isinstance(self.request, Classify):
            if not isinstance(answer, Labels) or len(answer.labels) != self.request.shape[0]:
                raise _violation("an answer that does not fit the tensor")
            if not self.request.scores and answer.scores:
                raise _violation("scores that nobody asked for")
            if max(answer.labels) >= len(card.labels):
                raise _violation("a class that the model lacks")
            return
        self._check_tokens(answer, card)

    def _check_tokens(self, answer: Answer, card: ModelCard) -> None:
        if isinstance(answer, Labels):
            raise _violation("labels for a request for tokens")
        if not isinstance(answer, Tokens):
            return
        self._left -= len(answer.tokens)
        wanted = cast(Generate, self.request).top_logprobs
        expected = len(answer.tokens) if wanted else 0
        if self._left < 0 or max(answer.tokens) >= card.vocab_size:
            raise _violation("tokens beyond the request or the vocabulary")
        if len(answer.scores) != expected:
            raise _violation("scores that nobody asked for, or too few")
        for score in answer.scores:
            if len(score.ids) > wanted or len(score.ids) != len(score.logprobs):
                raise _violation("more scores than were asked for")
            if max(score.ids) >= card.vocab_size:
                raise _violation("a token beyond the vocabulary")


class KeeperClient(asyncio.Protocol):
    """Speaks with the keeper. ``hello`` is its first frame, ``closed`` is set when it is gone."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.error: StrongroomError | None = None
        self._greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._buffer = codec.gateway_buffer()
        self._exchanges: dict[int, Exchange] = {}
        self._card: ModelCard | None = None
        self._last_id = 0
        self._asked: asyncio.Future[Status] | None = None
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def connect(cls, sock: socket.socket) -> tuple[KeeperClient, Hello]:
        """Take over ``sock`` and wait for the keeper's greeting.

        Raises:
            BoundaryRefused: ``gateway.no_greeting``, or what was wrong with it.
        """
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(cls, sock=sock)
        return client, await client._greeted

    def start(self, request: _A) -> Exchange:
        """Send a request (its ``id`` is set here).

        Raises:
            Refusal: 503 ``gateway.keeper_gone`` or ``gateway.busy``.
        """
        if self.closed.is_set() or self._transport is None:
            raise _gone()
        if len(self._exchanges) >= _MOST_REQUESTS:
            raise _busy()
        exchange = Exchange(self, request)
        self._exchanges[request.id] = exchange
        self._send(request)
        return exchange

    def next_id(self) -> int:
        """A request id that was never used on this connection."""
        self._last_id += 1
        return self._last_id

    def cancel(self, exchange: Exchange) -> None:
        """Ask the keeper to stop; drop what still comes. A ``Classify`` cannot be stopped."""
        exchange.abandon()
        if isinstance(exchange.request, Generate) and not self.closed.is_set():
            self._send(Cancel(id=exchange.request.id))

    async def status(self) -> Status:
        """How the keeper stands. One question at a time: whoever asks meanwhile shares the answer.

        Raises:
            Refusal: 503 ``gateway.keeper_gone``.
        """
        if self.closed.is_set():
            raise _gone()
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._send(AskStatus())
        return await asyncio.shield(self._asked)

    def close(self) -> None:
        """Hang up; the keeper then stops too."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Cut, check and hand out frames; close on the first that is wrong."""
        try:
            for payload in self._buffer.feed(data):
                self._receive(codec.decode_to_gateway(payload))
        except StrongroomError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The keeper hung up or was hung up on."""
        self._fail(None)

    def _receive(self, frame: ToGateway) -> None:
        if self._card is None:
            if not isinstance(frame, Hello) or frame.protocol != PROTOCOL:
                raise _violation("no greeting of our protocol version")
            self._card = frame.card
            self._greeted.set_result(frame)
            return
        if isinstance(frame, Status) and self._asked is not None:
            self._asked.set_result(frame)
            self._asked = None
            return
        if not isinstance(frame, Tokens | Done | Labels | Refused):
            raise _violation("a frame that nobody asked for")
        exchange = self._exchanges.get(frame.id)
        if exchange is None:
            raise _violation("an answer to no request")
        exchange.check(frame, self._card)
        if not exchange.deliver(frame):
            self.cancel(exchange)
        if exchange.ended:
            del self._exchanges[frame.id]

    def _send(self, frame: ToKeeper) -> None:
        if self._transport is not None:
            self._transport.write(codec.encode_to_keeper(frame))

    def _fail(self, error: StrongroomError | None) -> None:
        if self.closed.is_set():
            return
        self.error = error or BoundaryRefused(
            "gateway.keeper_gone", "The keeper hung up.", action="Start the model again."
        )
        self.closed.set()
        self.close()
        if not self._greeted.done():
            self._greeted.set_exception(self.error)
        if self._asked is not None:
            self._asked.set_exception(_gone())
            self._asked.exception()  # nobody may be waiting any more
        for exchange in self._exchanges.values():
            exchange.fail()
        self._exchanges.clear()


def _violation(what: str) -> BoundaryRefused:
    return BoundaryRefused(
        "gateway.keeper_violation",
        f"The keeper sent {what}.",
        action="Close the connection; run the same version on both sides.",
    )


def _gone() -> Refusal:
    return Refusal(
        "gateway.keeper_gone",
        "The model is not available.",
        action="Try again later.",
        status=503,
    )


def _busy() -> Refusal:
    return Refusal(
        "gateway.busy",
        "Too many requests are waiting for the model.",
        action="Try again shortly.",
        status=503,
        headers=_RETRY,
    )


def _slow() -> Refusal:
    return Refusal(
        "gateway.slow_reader",
        "The answer was not read fast enough.",
        action="Read the stream as it comes.",
        status=503,
    )


def _refusal(refused: Refused) -> Refusal:
    """The keeper's refusal in HTTP's terms. Its message says what to do already."""
    status = _STATUS.get(refused.code, 400)
    headers = _RETRY if status in {429, 503} else ()
    return Refusal(refused.code, refused.message, action="", status=status, headers=headers)
