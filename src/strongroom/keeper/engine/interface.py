"""What the keeper's loop asks of an engine.

Engines are driven, never drive: the loop calls ``step`` while anything is active and reads
sockets in between, so that requests which arrive at different times share steps. No engine starts
a thread of its own beyond torch's pool, and all torch threads exist after ``warm_up``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from strongroom.keeper.engine.constraint import Constraint
from strongroom.watermark.interface import Mark


@dataclass(frozen=True, slots=True)
class GenerateJob:
    """One admitted generation: prompt token ids and how to continue them.

    ``top_logprobs`` > 0 asks for that many log-probabilities at each position. ``max_tokens`` plus
    the prompt never exceeds the engine's context length: the caller has checked. ``constraint``
    says which tokens may be drawn. ``pooled`` asks for what the model made of the text in place of
    a continuation: such a job ends where its prompt does. ``mark`` is what its answer carries.
    ``adapter`` names a loaded adapter that its tokens go through; None is the bare base.
    """

    id: int
    tokens: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float
    top_logprobs: int = 0
    constraint: Constraint | None = None
    pooled: bool = False
    mark: Mark | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step produced for one job: at most one token, and whether it was the last.

    ``token`` is None when the step only consumed prompt. ``finished`` is ``stop`` when the token
    is an end token (the token is then not for the caller), ``length`` at ``max_tokens``. The last
    result of a pooled job has no token but ``pooled``: the mean over its positions of the final
    normed hidden state, float32 (width,).
    """

    id: int
    token: int | None
    finished: Literal["stop", "length"] | None
    top_ids: tuple[int, ...] = ()
    top_logprobs: tuple[float, ...] = ()
    pooled: torch.Tensor | None = None


class CausalEngine(ABC):
    """A causal language model with continuous batching.

    Shapes: token ids are plain ints; logits stay inside the engine. ``width`` is that of a hidden
    state.
    """

    vocab_size: int
    width: int
    context_length: int
    max_streams: int
    eos_token_ids: tuple[int, ...]

    @abstractmethod
    def warm_up(self) -> None:
        """Run every shape that will ever be served, so that lock-down can forbid new code."""

    @abstractmethod
    def admit(self, job: GenerateJob) -> None:
        """Queue a job. It starts at the next step with a free slot."""

    @abstractmethod
    def cancel(self, job_id: int) -> bool:
        """Forget a job, queued or active. False if it was not known."""

    @abstractmethod
    def step(self) -> Sequence[StepResult]:
        """Advance every active job by one step (one token each, or a chunk of prompt)."""

    @property
    @abstractmethod
    def active(self) -> int:
        """Jobs that hold a slot."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Jobs admitted that wait for a slot."""


class ClassifierEngine(ABC):
    """A classifier over fixed-shape inputs."""

    input_dtype: Literal["F32", "U8"]
    input_shape: tuple[int, ...]
    input_range: tuple[float, float]
    labels: tuple[str, ...]
    max_batch: int

    @abstractmethod
    def warm_up(self) -> None:
        """Run every shape that will ever be served."""

    @abstractmethod
    def classify(self, batch: np.ndarray) -> torch.Tensor:
        """Logits (rows, classes) in float32 for a batch (rows, *input_shape), rows <= max_batch."""


Tensors = Mapping[str, torch.Tensor]
"""Tensor name to a tensor that aliases the keeper's arena. Engines must not write to them."""
