"""One request at the keeper: its answers in order, what was promised checked, how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from strongroom.boundary.frames import (
    AdapterState,
    Classify,
    Done,
    Embed,
    Embeddings,
    Generate,
    Labels,
    LoadAdapter,
    ModelCard,
    Refused,
    Tokens,
    UnloadAdapter,
)
from strongroom.errors import BoundaryRefused
from strongroom.gateway.refusals import Refusal

if TYPE_CHECKING:
    from strongroom.gateway.keeper_client import KeeperClient

_MOST_QUEUED: Final = 4096
_END_SECONDS: Final = 0.5
"""How long the end of a cancelled request is waited for: usually a step of the model."""

_WORKED: Final = frozenset({"keeper.time_over", "keeper.not_finite"})
"""Refusals of the keeper that come after it has worked: what was read is to be paid for."""

RETRY: Final = ((b"retry-after", b"10"),)
_STATUS: Final = {
    "keeper.egress_exhausted": 429,
    "keeper.logprobs_not_granted": 403,
    "keeper.scores_not_granted": 403,
    "keeper.embeddings_not_granted": 403,
    "keeper.scores_exhausted": 403,
    "keeper.closed": 403,
    "keeper.adapters_full": 503,
    "keeper.adapter_unknown": 503,
    "keeper.adapter_foreign": 503,
    "keeper.queue_full": 503,
    "keeper.time_over": 503,
    "keeper.not_finite": 503,
}
"""HTTP status of the keeper's refusals; 400 for those not named."""

Work = Generate | Classify | Embed
Asked = Work | LoadAdapter | UnloadAdapter
Answer = Tokens | Done | Labels | Embeddings | AdapterState | Refused
Given = Tokens | Done | Labels | Embeddings | AdapterState


class Exchange:
    """One request at the keeper. Use as an async context manager: leaving it early cancels.

    Once ``ended``, ``done`` is how it ended, unless ``refused`` or the keeper is gone; ``refused``
    says that nothing was done for it.
    """

    def __init__(self, client: KeeperClient, request: Asked) -> None:
        self.request = request
        self.until = client.overdue_at()
        self.ended = False
        self._client = client
        self._answers: deque[Answer | None] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._failed = False
        self._over: asyncio.Future[None] | None = None
        self.done: Done | None = None
        self.refused = False
        self._left = request.max_tokens if isinstance(request, Generate) else 0

    async def next(self) -> Given:
        """The next frame of the answer.

        Raises:
            Refusal: what the keeper refused, 503 ``gateway.keeper_gone`` or
                ``gateway.slow_reader``.
        """
        if not self._answers:
            if self._failed:
                raise gone() if self._client.closed.is_set() else _slow()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        answer = self._answers.popleft()
        if answer is None:
            raise gone()
        if isinstance(answer, Refused):
            raise _refusal(answer)
        return answer

    def waiting(self) -> list[Given]:
        """The frames that have come, without waiting, up to one for which ``next`` would raise."""
        found: list[Given] = []
        answers = self._answers
        while answers and (answer := answers[0]) is not None and not isinstance(answer, Refused):
            found.append(answer)
            answers.popleft()
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
            self.refused = isinstance(answer, Refused) and answer.code not in _WORKED
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
        """Refuse an answer that goes beyond the request: rule 5 of ``keeper_client``."""
        if isinstance(answer, Refused):
            return
        if isinstance(self.request, LoadAdapter | UnloadAdapter):
            loads = isinstance(self.request, LoadAdapter)
            if not isinstance(answer, AdapterState) or answer.loaded is not loads:
                raise violation("another answer than the state of an adapter")
            return
        if isinstance(self.request, Classify):
            if not isinstance(answer, Labels) or len(answer.labels) != self.request.shape[0]:
                raise violation("an answer that does not fit the tensor")
            if not self.request.scores and answer.scores:
                raise violation("scores that nobody asked for")
            if max(answer.labels) >= len(card.labels):
                raise violation("a class that the model lacks")
            return
        if isinstance(self.request, Embed):
            if isinstance(answer, Done) and answer.reason == "cancelled" and self._failed:
                return
            wanted = len(self.request.texts) * card.embedding_width
            if not isinstance(answer, Embeddings) or len(answer.data) != wanted:
                raise violation("an answer that does not fit the texts")
            if not all(map(any, _rows(answer.data, card.embedding_width))):
                raise violation("an embedding of nothing but zeros")
            return
        self._check_tokens(answer, card)

    def _check_tokens(self, answer: Answer, card: ModelCard) -> None:
        if isinstance(answer, Labels | Embeddings | AdapterState):
            raise violation("another answer than tokens to a request for them")
        if not isinstance(answer, Tokens):
            return
        self._left -= len(answer.tokens)
        wanted = cast(Generate, self.request).top_logprobs
        expected = len(answer.tokens) if wanted else 0
        if self._left < 0 or max(answer.tokens) >= card.vocab_size:
            raise violation("tokens beyond the request or the vocabulary")
        if len(answer.scores) != expected:
            raise violation("scores that nobody asked for, or too few")
        for score in answer.scores:
            if len(score.ids) > wanted or len(score.ids) != len(score.logprobs):
                raise violation("more scores than were asked for")
            if max(score.ids) >= card.vocab_size:
                raise violation("a token beyond the vocabulary")


def _rows(data: bytes, width: int) -> Iterator[bytes]:
    return (data[start : start + width] for start in range(0, len(data), width))


def violation(what: str) -> BoundaryRefused:
    """The keeper sent what it must not send."""
    return BoundaryRefused(
        "gateway.keeper_violation",
        f"The keeper sent {what}.",
        action="Close the connection; run the same version on both sides.",
    )


def gone() -> Refusal:
    """There is no keeper any more."""
    return Refusal(
        "gateway.keeper_gone",
        "The model is not available.",
        action="Try again later.",
        status=503,
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
    headers = RETRY if status in {429, 503} else ()
    return Refusal(refused.code, refused.message, action="", status=status, headers=headers)
