"""What a request may cost at most, and what it did cost. Pure.

Egress follows the keeper's own rule (``boundary.charging``): so a reservation is never less than
what the keeper charges. Compute is an estimate from counts, not a clock, so that the same request
costs the same on a busy machine and an idle one::

    compute_ms = ceil((input_tokens * input_us + output_tokens * output_us) / 1000)

with the rates of ``[limits.compute]`` in strongroom.toml; a row of a classifier counts as an input
token. Every cost below is at most the one reserved, whatever the keeper does.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.boundary.charging import (
    ENDING,
    embedding_charge,
    label_charge,
    millibits,
    token_charge,
)
from strongroom.boundary.frames import Embed, Generate, ModelCard, Rung
from strongroom.gateway.exchange import Exchange, Work
from strongroom.store.limits import Cost

_UNROUNDED: Final = frozenset({"topk", "logits", "embeddings"})
_ALL_CLASSES: Final = frozenset({"logits", "embeddings"})
_TOP_CLASSES: Final = 5

Microseconds = Annotated[int, Meta(ge=0, le=10_000_000)]


class ComputeRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Microseconds of compute that one token is reckoned at: read, and generated."""

    input_us: Microseconds = 1_000
    output_us: Microseconds = 20_000

    def milliseconds(self, input_tokens: int, output_tokens: int) -> int:
        """Compute of so many tokens, rounded up."""
        return -(-(input_tokens * self.input_us + output_tokens * self.output_us) // 1000)


class Spending:
    """The cost of one frame, before and after.

    Args:
        frame: what is forwarded.
        card: the model.
        rung: what the sealed policy grants the organisation that asks.
        rates: how compute is reckoned.
    """

    __slots__ = ("_frame", "_input", "_output", "_position", "_rates", "_start")

    def __init__(self, frame: Work, card: ModelCard, rung: Rung, rates: ComputeRates) -> None:
        self._frame = frame
        self._rates = rates
        if isinstance(frame, Generate):
            self._input, self._output, self._start = len(frame.tokens), frame.max_tokens, ENDING
            self._position = token_charge(
                card.vocab_size, frame.top_logprobs, rounded=rung not in _UNROUNDED
            )
        elif isinstance(frame, Embed):
            self._input, self._output, self._position = sum(map(len, frame.texts)), 0, 0
            self._start = embedding_charge(len(frame.texts), card.embedding_width)
        else:
            self._input, self._output, self._position = frame.shape[0], 0, 0
            self._start = frame.shape[0] * _row_charge(len(card.labels), rung, frame.scores)

    def worst(self) -> Cost:
        """The most it may cost."""
        return self._cost(self._output, self._output)

    def so_far(self, exchange: Exchange | None) -> Cost:
        """What it has cost: ``exchange`` is its answer, or ``None`` if it was never sent.

        Where the keeper did not say how a generation ended, one position more than was received is
        charged: it may have been charged there and lost on the way.
        """
        if exchange is None or (exchange.refused and not exchange.received):
            return Cost(requests=1)
        received = exchange.received
        told = exchange.done is not None and exchange.done.reason != "stop"
        return self._cost(received, min(received + (not told), self._output))

    def _cost(self, tokens: int, positions: int) -> Cost:
        return Cost(
            requests=1,
            input_tokens=self._input,
            output_tokens=tokens,
            compute_ms=self._rates.milliseconds(self._input, tokens),
            egress_millibits=millibits(self._start + positions * self._position),
        )


def _row_charge(classes: int, rung: Rung, scores: bool) -> int:
    """As in the keeper's ``classifications``."""
    likeliest = min(_TOP_CLASSES, classes) if rung == "topk" else 1
    shown = classes if rung in _ALL_CLASSES else likeliest
    return label_charge(
        classes, shown if scores else 0, indexed=rung == "topk", rounded=rung == "top1"
    )
