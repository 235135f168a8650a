"""From the keeper's frames to pieces of text: detokenising, stop strings, the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from strongroom.boundary.frames import Done, Labels, TokenScores
from strongroom.gateway.keeper_client import Exchange
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
        self, exchange: Exchange, tokenizer: ModelTokenizer, stops: tuple[str, ...]
    ) -> None:
        self.finish_reason: FinishReason = "stop"
        self.outcome = "stop"
        self.completion_tokens = 0
        self._exchange = exchange
        self._detokenizer = Detokenizer(tokenizer)
        self._scanner = StopScanner(stops)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The pieces in order. Ends at a stop string, which cancels at the keeper.

        Raises:
            Refusal: what the keeper refused, or that it is gone.
        """
        while True:
            answer = await self._exchange.next()
            if isinstance(answer, Done):
                # `egress`, too, is an answer cut short: the next request learns why.
                self.outcome = answer.reason
                self.finish_reason = "stop" if answer.reason == "stop" else "length"
                if held := self._scanner.finish():
                    yield Piece(held)
                return
            if isinstance(answer, Labels):
                continue  # cannot be: the client checked it
            self.completion_tokens += len(answer.tokens)
            text = self._scanner.push(self._detokenizer.push(answer.tokens))
            yield Piece(text, answer.tokens, answer.scores)
            if self._scanner.stopped:
                return
