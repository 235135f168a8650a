"""The gateway's end of the socket to the keeper: many requests over one stream.

1. The first frame must be ``Hello`` of our protocol version.
2. Each request has an id of its own; its frames go into its own bounded queue.
3. A request that nobody reads any more is cancelled; its late frames are dropped until its end.
4. What one turn of the event loop asks is sent in one write: each wakes the keeper.
5. A frame that is malformed, for an id never given out, or beyond what was asked for closes the
   connection. Once it is closed, whoever closed it, every request fails and no new one starts.
6. A request that has not ended after ``patience`` seconds, longer than the keeper itself lets one
   go on, closes it too: that keeper hangs. A ``Fault`` closes it: that keeper may not go on.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, TypeVar, cast

from strongroom.boundary import codec
from strongroom.boundary.frames import (
    PROTOCOL,
    AdapterState,
    AskStatus,
    Cancel,
    Classify,
    Done,
    Embed,
    Embeddings,
    Fault,
    Generate,
    Hello,
    Labels,
    LoadAdapter,
    ModelCard,
    Refused,
    Status,
    ToGateway,
    ToKeeper,
    Tokens,
    UnloadAdapter,
)
from strongroom.errors import BoundaryRefused, StrongroomError
from strongroom.gateway.exchange import RETRY, Answer, Exchange, gone, violation
from strongroom.gateway.refusals import Refusal

_MOST_REQUESTS: Final = 4096
_ANSWERS: Final = frozenset({Tokens, Done, Labels, Embeddings, AdapterState, Refused})
_A = TypeVar("_A", Generate, Classify, Embed, LoadAdapter | UnloadAdapter)


class KeeperFault(BoundaryRefused):
    """The keeper has said that it may not go on; ``code`` is the keeper's own."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code, fault.message, action="Start the model again.")


class KeeperClient(asyncio.Protocol):
    """Speaks with the keeper. ``hello`` is its first frame, ``closed`` is set when it is gone.

    Args:
        patience: seconds after which a request that has not ended says that the keeper hangs.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._watch: asyncio.TimerHandle | None = None
        self.closed = asyncio.Event()
        self.error: StrongroomError | None = None
        self._greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._buffer = codec.gateway_buffer()
        self._exchanges: dict[int, Exchange] = {}
        self._card: ModelCard | None = None
        self._last_id = 0
        self._outgoing: list[bytes] = []
        self._asked: asyncio.Future[Status] | None = None
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def connect(cls, sock: socket.socket, patience: float) -> tuple[KeeperClient, Hello]:
        """Take over ``sock`` and wait for the keeper's greeting; ``patience`` as in the class.

        Raises:
            BoundaryRefused: ``gateway.no_greeting``, or what was wrong with it.
        """
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(lambda: cls(patience), sock=sock)
        return client, await client._greeted

    def start(self, *frames: _A) -> Exchange:
        """Send a request; of several frames under one ``id`` the last is answered.

        Raises:
            Refusal: 503 ``gateway.keeper_gone`` or ``gateway.busy``.
        """
        if self.closed.is_set() or self._transport is None:
            raise gone()
        if len(self._exchanges) >= _MOST_REQUESTS:
            raise _busy()
        request = frames[-1]
        exchange = Exchange(self, request)
        self._exchanges[request.id] = exchange
        if self._watch is None:
            self._look()
        for frame in frames:
            self._send(frame)
        return exchange

    def overdue_at(self) -> float:
        """When, by the loop's clock, a request that begins now must have ended."""
        return asyncio.get_running_loop().time() + self._patience

    def _look(self) -> None:
        """Rule 6: the first that began is the first to be overdue."""
        self._watch = None
        oldest = next(iter(self._exchanges.values()), None)
        if oldest is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= oldest.until:
            self._fail(_silent())
        else:
            self._watch = loop.call_at(oldest.until, self._look)

    def next_id(self) -> int:
        """A request id that was never used on this connection."""
        self._last_id += 1
        return self._last_id

    def cancel(self, exchange: Exchange) -> None:
        """Ask the keeper to stop; drop what still comes. A ``Classify`` cannot be stopped."""
        exchange.abandon()
        if not isinstance(exchange.request, Classify) and not self.closed.is_set():
            self._send(Cancel(id=exchange.request.id))

    async def status(self) -> Status:
        """How the keeper stands. One question at a time: whoever asks meanwhile shares the answer.

        Raises:
            Refusal: 503 ``gateway.keeper_gone``.
        """
        if self.closed.is_set():
            raise gone()
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._send(AskStatus())
        return await asyncio.shield(self._asked)

    def close(self) -> None:
        """Hang up; the keeper then stops too."""
        if self._transport is not None:
            self._flush()
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
                raise violation("no greeting of our protocol version")
            self._card = frame.card
            self._greeted.set_result(frame)
            return
        if isinstance(frame, Status) and self._asked is not None:
            self._asked.set_result(frame)
            self._asked = None
            return
        if isinstance(frame, Fault):
            raise KeeperFault(frame)
        if type(frame) not in _ANSWERS:
            raise violation("a frame that nobody asked for")
        answer = cast(Answer, frame)
        exchange = self._exchanges.get(answer.id)
        if exchange is None:
            raise violation("an answer to no request")
        exchange.check(answer, self._card)
        if not exchange.deliver(answer):
            self.cancel(exchange)
        if exchange.ended:
            del self._exchanges[answer.id]

    def _send(self, frame: ToKeeper) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(codec.encode_to_keeper(frame))

    def _flush(self) -> None:
        """Rule 4."""
        if self._outgoing and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _fail(self, error: StrongroomError | None) -> None:
        if self.closed.is_set():
            return
        self.error = error or BoundaryRefused(
            "gateway.keeper_gone", "The keeper hung up.", action="Start the model again."
        )
        self.closed.set()
        if self._watch is not None:
            self._watch.cancel()
        self.close()
        if not self._greeted.done():
            self._greeted.set_exception(self.error)
        if self._asked is not None:
            self._asked.set_exception(gone())
            self._asked.exception()  # nobody may be waiting any more
        for exchange in self._exchanges.values():
            exchange.fail()
        self._exchanges.clear()


def _silent() -> BoundaryRefused:
    return BoundaryRefused(
        "gateway.keeper_silent",
        "The keeper has not ended a request within the longest time that one may take.",
        action="Start the model again; look at what its process was doing.",
    )


def _busy() -> Refusal:
    return Refusal(
        "gateway.busy",
        "Too many requests are waiting for the model.",
        action="Try again shortly.",
        status=503,
        headers=RETRY,
    )
