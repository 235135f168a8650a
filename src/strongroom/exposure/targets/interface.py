"""Targets: one narrow protocol a rung, with no inheritance upward.

A target of a rung answers that rung's question and no other. Classifiers take inputs (rows,
*shape) float32 in the model's own range; language models take texts where a caller could send
texts, and rows of token ids where the rung gives more than a caller has. All count a row as one
query, refuse with ``ExposureRefused`` (``exposure.budget_spent``) once the budget is spent, and
state in ``spent()`` what was counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from strongroom.exposure.cell import Spent
from strongroom.exposure.interface import Floats, Integers


class Counted(Protocol):
    """What every target has."""

    def spent(self) -> Spent:
        """Queries, refusals and time so far."""


@runtime_checkable
class LabelTarget(Counted, Protocol):
    """Rung ``label`` of a classifier."""

    def labels(self, inputs: Floats) -> Integers:
        """The likeliest class of each row, (rows,) int64."""


@runtime_checkable
class TopTarget(Counted, Protocol):
    """Rungs ``top1`` and ``topk`` of a classifier."""

    def top(self, inputs: Floats) -> tuple[Integers, Floats]:
        """The likeliest classes and their probabilities, each (rows, k), likeliest first."""


@runtime_checkable
class LogitsTarget(Counted, Protocol):
    """Rung ``logits`` of a classifier."""

    def logits(self, inputs: Floats) -> Floats:
        """Logits, (rows, classes)."""


@runtime_checkable
class EmbeddingsTarget(Counted, Protocol):
    """Rung ``embeddings`` of a classifier."""

    def embeddings(self, inputs: Floats) -> Floats:
        """What the last layer takes, (rows, width)."""


@runtime_checkable
class GradientsTarget(Counted, Protocol):
    """Rung ``gradients`` of a classifier: of the cross-entropy loss at given labels."""

    def logits(self, inputs: Floats) -> Floats:
        """Logits, (rows, classes)."""

    def input_gradients(self, inputs: Floats, labels: Integers) -> Floats:
        """Of each row's loss with respect to that row, (rows, *shape)."""

    def parameter_gradients(self, inputs: Floats, labels: Integers) -> Floats:
        """Norm of each row's gradient with respect to each parameter tensor, (rows, tensors)."""


@runtime_checkable
class WeightsTarget(Counted, Protocol):
    """Rung ``weights``: a copy of the model, the attacker's own."""

    def model(self) -> Any:
        """A ``torch.nn.Module`` from model inputs to logits; a fresh copy at every call."""


@runtime_checkable
class StudentTarget(Counted, Protocol):
    """Rung ``student``: a distilled model that was handed out."""

    def student(self) -> Any:
        """A ``torch.nn.Module`` from model inputs to logits; a fresh copy at every call."""


@runtime_checkable
class AdapterTarget(Counted, Protocol):
    """Rung ``adapter``: low-rank or merged tensors that were handed out."""

    def adapter(self) -> Mapping[str, Any]:
        """Tensors by name; fresh copies at every call."""


@dataclass(frozen=True)
class ScoredText:
    """A completion at ``top1`` or ``topk``: one entry a token, ``top`` likeliest first.

    A token that was sampled but is not among the listed ones has log-probability -9999.
    """

    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    top: tuple[tuple[tuple[str, float], ...], ...]


@runtime_checkable
class TextTarget(Counted, Protocol):
    """Rung ``text`` of a language model: what a caller gets."""

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        """A continuation of each prompt."""


@runtime_checkable
class TopTextTarget(Counted, Protocol):
    """Rungs ``top1`` and ``topk`` of a language model: text with log-probabilities."""

    def complete_scored(
        self, prompts: Sequence[str], *, max_tokens: int, top: int, temperature: float = 0.0
    ) -> list[ScoredText]:
        """A continuation of each prompt, with ``top`` log-probabilities a token."""


@runtime_checkable
class TextEmbeddingsTarget(Counted, Protocol):
    """Rung ``embeddings`` of a language model."""

    def embed(self, texts: Sequence[str]) -> Floats:
        """Where each text lies in the model, (texts, width), of length one."""


@runtime_checkable
class BiasedTarget(Counted, Protocol):
    """An endpoint that takes ``logit_bias``, beside its rung's own question."""

    def biased(
        self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int
    ) -> list[tuple[tuple[str, float], ...]]:
        """One more token for each prompt, with its own bias by token id, -100 to 100.

        Returns:
            For each the likeliest ``top`` tokens with log-probabilities after the bias, likeliest
            first; only the token that was said, with NaN, where the rung is ``text``.
        """


@runtime_checkable
class TokenLogitsTarget(Counted, Protocol):
    """Rung ``logits`` of a language model: of any tokens; one row is one query."""

    def next_logits(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Logits after the last token of each row, (rows, vocabulary) float32."""

    def token_logprobs(self, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """Log-probability of each token but the first given those before, (length - 1,) a row."""

    def all_logits(self, row: Sequence[int]) -> Floats:
        """Logits after each token of one row, (length, vocabulary) float32."""
