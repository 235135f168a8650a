"""The embedded language engine: continuous batching over ``llama_model``.

``scheduler`` decides who computes what, ``llama_model`` computes, ``sampling`` draws. Requests
that arrive at different times share every step's matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from strongroom.errors import RequestRefused
from strongroom.keeper.engine.adapter import Adapter
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob, StepResult, Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_model import Compute, LlamaModel, resolved
from strongroom.keeper.engine.sampling import Setting, choose, likeliest
from strongroom.keeper.engine.scheduler import (
    NATIVE_SHARED_ROWS,
    SHARED_ROWS,
    Active,
    Plan,
    Scheduler,
    Segment,
    row_buckets,
)

MAX_TOP_LOGPROBS = 5


class LlamaEngine(CausalEngine):
    """Llama, Mistral and Qwen2 decoders on CPU. See ``CausalEngine`` for how it is driven.

    Args:
        tensors: name to tensor, aliasing the arena; never written to.
        max_streams: jobs that compute at once.
        context_length: longest sequence, prompt and answer, in tokens.
        eos_token_ids: tokens that end an answer.
        compute: numeric form of the weights, see ``llama_model.Compute``.
        adapters: whether adapters may be loaded; ``warm_up`` then computes their shapes too.

    Raises:
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
    """

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Tensors,
        *,
        max_streams: int,
        context_length: int,
        eos_token_ids: tuple[int, ...],
        compute: Compute = "auto",
        adapters: bool = False,
    ) -> None:
        self.vocab_size = config.vocab_size
        self.width = config.hidden_size
        self.context_length = context_length
        self.max_streams = max_streams
        self.eos_token_ids = eos_token_ids
        self._ends = frozenset(eos_token_ids)
        self._adapters = adapters
        compute = resolved(compute, tensors)
        rows = NATIVE_SHARED_ROWS if compute == "bfloat16" else SHARED_ROWS
        self._scheduler = Scheduler(max_streams, rows)
        largest = max(2 * rows, max_streams + rows)
        self._buckets = row_buckets(largest)
        with torch.inference_mode():
            self._model = LlamaModel(
                config,
                tensors,
                max_streams=max_streams,
                context_length=context_length,
                buckets=self._buckets,
                compute=compute,
            )

    @property
    def active(self) -> int:
        """Jobs that hold a slot."""
        return len(self._scheduler.slots)

    @property
    def waiting(self) -> int:
        """Jobs admitted that wait for a slot."""
        return len(self._scheduler.waiting)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Compute every row count once, for the layers and for the head, and draw a token.

        Leaves nothing behind but stale cache positions, which no later job reads.
        """
        for size in self._buckets:
            self._model.forward(self._rehearsal(size))
            if self._adapters:
                self._model.forward(self._rehearsal(size), changed=True)
        self._model.forward(self._rehearsal(2, pooled=True))
        logits = self._model.forward(self._rehearsal(1))
        choose(logits, [(1.0, 0.5, torch.arange(2), None)])
        likeliest(logits[0], min(MAX_TOP_LOGPROBS, self.vocab_size))

    def _rehearsal(self, rows: int, *, pooled: bool = False) -> Plan:
        """A step of ``rows`` rows that also draws as many tokens as slots allow."""
        drawn = min(rows, self.max_streams)
        decoding = tuple(Active(_blank(1), slot, length=1) for slot in range(drawn))
        segments: tuple[Segment, ...] = ()
        size = min(rows - drawn, self.context_length)
        if size:
            segments = (Segment(Active(_blank(size + 1, pooled=pooled), 0), 0, size),)
        return Plan(decoding, segments)

    @torch.inference_mode()
    def load_adapter(self, name: str, adapter: Adapter) -> bool:
        """Serve ``adapter``, which ``check_adapter`` returned, as ``name``.

        False if the name is taken or this engine serves none.
        """
        return self._adapters and self._model.adapters.load(name, adapter)

    def unload_adapter(self, name: str) -> bool:
        """Forget an adapter. False if it is not loaded or a job, queued or active, names it."""
        return not self._scheduler.uses(name) and self._model.adapters.unload(name)

    def admit(self, job: GenerateJob) -> None:
        """Queue a job.

        Raises:
            RequestRefused: ``keeper.job_invalid``; nothing was queued.
        """
        tokens = job.tokens
        usable = (
            tokens
            and job.max_tokens >= 1
            and len(tokens) + job.max_tokens <= self.context_length
            and min(tokens) >= 0
            and max(tokens) < self.vocab_size
            and 0 <= job.temperature <= 100
            and 0 < job.top_p <= 1
            and 0 <= job.top_logprobs <= MAX_TOP_LOGPROBS
            and (job.adapter is None or job.adapter in self._model.adapters)
            and not self._scheduler.knows(job.id)
        )
        if not usable:
            raise RequestRefused(
                "keeper.job_invalid",
                "The generation does not fit this engine.",
                action="Keep tokens in the vocabulary, prompt and answer in the context length, "
                "and parameters in range.",
            )
        self._scheduler.waiting.append(job)

    def cancel(self, job_id: int) -> bool:
        """Forget a job, queued or active. False if it was not known."""
        for active in self._scheduler.slots:
            if active.job.id == job_id:
                self._release(active)
                return True
        return self._scheduler.forget_waiting(job_id)

    @torch.inference_mode()
    def step(self) -> Sequence[StepResult]:
        """Advance every decoding job by one token and read some prompt."""
        plan = self._scheduler.plan()
        if not plan.decoding and not plan.segments:
            return ()
        logits = self._model.forward(plan)
        for active in plan.decoding:
            active.length += 1
        for segment in plan.segments:
            segment.active.length = segment.stop
        drawing = [*plan.decoding, *(part.active for part in plan.segments if part.last)]
        reading = [part.active for part in plan.segments if not part.last]
        results = self._draw(drawing, logits)
        results += [StepResult(active.job.id, None, None) for active in reading]
        return results

    def _draw(self, drawing: Sequence[Active], logits: torch.Tensor) -> list[StepResult]:
        tokens = choose(logits, [_setting(item) for item in drawing])
        results = []
        for row, (active, token) in enumerate(zip(drawing, tokens, strict=True)):
            result = self._result(active, token, logits[row])
            if result.finished:
                self._release(active)
            results.append(result)
        return results

    def _result(self, active: Active, token: int, logits: torch.Tensor) -> StepResult:
        job = active.job
        if job.pooled:
            return StepResult(job.id, None, "length", pooled=active.pooled / active.length)
        active.last_token = token
        active.produced += 1
        if job.constraint is not None:
            active.state = job.constraint.after(active.state, token)
        if token in self._ends:
            return StepResult(job.id, token, "stop")
        finished: Literal["length"] | None = None
        if active.produced == job.max_tokens:
            finished = "length"
        if not job.top_logprobs:
            return StepResult(job.id, token, finished)
        return StepResult(job.id, token, finished, *likeliest(logits, job.top_logprobs))

    @torch.inference_mode()
    def _release(self, active: Active) -> None:
        self._model.cache.follow(self._scheduler.release(active))


def _setting(active: Active) -> Setting:
    job = active.job
    allowed = None if job.constraint is None else job.constraint.allowed(active.state)
    return job.temperature, job.top_p, allowed, job.mark


def _blank(length: int, *, pooled: bool = False) -> GenerateJob:
    return GenerateJob(-1, (0,) * length, 1, 0.0, 1.0, pooled=pooled)
