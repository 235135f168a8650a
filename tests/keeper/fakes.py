"""Engines that are told what to say, and a meter in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from strongroom.keeper import egress
from strongroom.keeper.egress import Account, Budget, Meter
from strongroom.keeper.engine.interface import (
    CausalEngine,
    ClassifierEngine,
    GenerateJob,
    StepResult,
)

VOCABULARY = 256
PLENTY = Budget(2**50, 2**50)


class Parrot(CausalEngine):
    """Says the prompt again from its start, then token 7; token 0 ends. One slot a stream.

    A text's embedding is its first ``width`` tokens, zeros behind them; ``spoil`` is put in front.
    """

    vocab_size = VOCABULARY
    width = 4
    spoil: tuple[float, ...] = ()
    context_length = 64
    max_streams = 2
    eos_token_ids = (0,)
    logprob = -0.25

    def __init__(self) -> None:
        self.jobs: dict[int, tuple[GenerateJob, int]] = {}
        self.cancelled: list[int] = []
        self.steps = 0

    def warm_up(self) -> None:
        pass

    def admit(self, job: GenerateJob) -> None:
        self.jobs[job.id] = (job, 0)

    def cancel(self, job_id: int) -> bool:
        self.cancelled.append(job_id)
        return self.jobs.pop(job_id, None) is not None

    def step(self) -> Sequence[StepResult]:
        self.steps += 1
        return [self._advance(job_id) for job_id in list(self.jobs)[: self.max_streams]]

    def _advance(self, job_id: int) -> StepResult:
        job, said = self.jobs[job_id]
        if job.pooled:
            del self.jobs[job_id]
            numbers = [*self.spoil, *map(float, job.tokens), *[0.0] * self.width][: self.width]
            return StepResult(job_id, None, "length", pooled=torch.tensor(numbers))
        token = job.tokens[said] if said < len(job.tokens) else 7
        said += 1
        finished: Any = "stop" if token == 0 else "length" if said == job.max_tokens else None
        if finished:
            del self.jobs[job_id]
        else:
            self.jobs[job_id] = (job, said)
        # more than was asked for: what the keeper lets through is the keeper's business
        top = (token, 1, 2, 3, 4, 5)
        return StepResult(job_id, token, finished, top, tuple(self.logprob - i for i in range(6)))

    @property
    def active(self) -> int:
        return min(len(self.jobs), self.max_streams)

    @property
    def waiting(self) -> int:
        return max(0, len(self.jobs) - self.max_streams)


class Oracle(ClassifierEngine):
    """Four features in, the logits ``answer`` out."""

    input_dtype = "F32"
    input_shape = (4,)
    input_range = (0.0, 1.0)
    labels = ("a", "b", "c", "d", "e", "f", "g", "h")
    max_batch = 8

    def __init__(self) -> None:
        self.answer = [0.0, 3.0, 1.0, -1.0, 0.5, 0.25, -2.0, 2.0]
        self.asked = 0

    def warm_up(self) -> None:
        pass

    def classify(self, batch: np.ndarray) -> torch.Tensor:
        self.asked += 1
        return torch.tensor([self.answer] * len(batch))


def meter(deployment: Budget = PLENTY, tenant: Budget = PLENTY, tenants: int = 8) -> Meter:
    """A meter that remembers nothing."""
    places = egress.FIRST_TENANT + tenants
    return Meter([Account.empty(egress.NOBODY) for _ in range(places)], deployment, tenant)
