"""From the keeper's frames to pieces of text: detokenising, stop strings, the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from strongroom.boundary.frames import Done, Tokens, TokenScores
from strongroom.gateway.content.interface import Scan
from strongroom.gateway.exchange import Exchange, Given
from strongroom.gateway.pacing import Ticks
from strongroom.gateway.stops import StopScanner
from strongroom.gateway.tokenizing import Detokenizer, ModelTokenizer

FinishReason = Literal["stop", "length"]


class Piece(msgspec.Struct, frozen=True):
    """Text that may be shown now, and the tokens that came with it (with scores, if any)."""

    text: str
    tokens: tuple[int, ...] = ()
    scores: tuple[TokenScores, ...] = ()


class Generating:
    """One generation under way.

    After ``pieces`` is exhausted, ``finish_reason`` and ``completion_tokens`` are set; ``outcome``
    is the reason as operators see it: ``egress``, too.
    """

    def __init__(
        self,
        exchange: Exchange,
        tokenizer: ModelTokenizer,
        stops: tuple[str, ...],
        scan: Scan | None = None,
    ) -> None:
        self.finish_reason: FinishReason = "stop"
        self.outcome = "stop"
        self.completion_tokens = 0
        self._exchange = exchange
        self._detokenizer = Detokenizer(tokenizer)
        self._scanner = StopScanner(stops)
        self._stopping = bool(stops)
        self._scan = scan
        self._over = False

    async def pieces(self, ticks: Ticks) -> AsyncIterator[Piece]:
        """The pieces in order, one a tick; at fixed ticks, an empty one where nothing has come.

        Ends at a stop string, which cancels at the keeper.

        Raises:
            Refusal: what the keeper refused, or that it is gone.
        """
        begun = [await self._exchange.next()]
        while True:
            await ticks.wait()
            yield await self._piece(begun + self._exchange.waiting())
            if self._over:
                return
            # What is ready now and was not taken is a refusal: it is raised here.
            idle = ticks.fixed and not self._exchange.ready
            begun = [] if idle else [await self._exchange.next()]

    async def _piece(self, answers: list[Given]) -> Piece:
        """All that has come at once. What comes behind a stop string is dropped."""
        text, ids, scores = "", list[int](), list[TokenScores]()
        for answer in answers:
            if isinstance(answer, Done):
                # `egress`, too, is an answer cut short: the next request learns why.
                self.outcome = answer.reason
                self.finish_reason = "stop" if answer.reason == "stop" else "length"
                text += self._scanner.finish()
                self._over = True
            elif isinstance(answer, Tokens):
                ids += answer.tokens
                scores += answer.scores
                if self._stopping:
                    text += self._scanner.push(self._detokenizer.push(answer.tokens))
                    self._over = self._scanner.stopped
            if self._over:
                break
        if ids and not self._stopping:  # then nothing is held back, and one call does for all
            text = self._detokenizer.push(ids)
        self.completion_tokens += len(ids)
        text = await self._judged(text, last=self._over)
        return Piece(text, tuple(ids), tuple(scores))

    async def _judged(self, text: str, *, last: bool) -> str:
        """What of ``text``, and of text before it, the content policy lets out now."""
        if self._scan is None:
            return text
        shown = await self._scan.push(text) if text else ""
        return shown + await self._scan.finish() if last else shown
