"""Generations under way: admission, disclosure and egress around a causal engine. No I/O.

Admission, in this order; the first that fails refuses the request and nothing is computed:

1. The id is not in use.
2. The sealed policy grants the tenant text, and the log-probabilities asked for, of which the
   tenant has not seen as many as it may. A schema asked for is a registered one, and no
   log-probabilities come with it. An adapter asked for is a loaded one of the tenant.
3. Every token id is one of the vocabulary; prompt and answer fit the context.
4. The queue has room.
5. The egress budgets cover the ending and a first token. The ending is charged now, so that
   ``Done`` can always be sent.

After each step of the engine, for each position it produced:

6. The position is charged, with its scores. If the budgets or the caps on scores do not cover it,
   it is dropped and the generation ends with ``egress``.
7. Only what was charged becomes a frame.
8. A generation that has taken longer than it may ends with ``time``; one that has not said anything
   yet is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from strongroom.boundary.charging import ENDING, token_charge
from strongroom.boundary.frames import (
    Done,
    Generate,
    Refused,
    Rung,
    ToGateway,
    Tokens,
    TokenScores,
)
from strongroom.errors import RequestRefused
from strongroom.keeper.adapters import Adapters, adapters_off
from strongroom.keeper.coordinates import Coordinates
from strongroom.keeper.disclosure import Disclosure, at_least, token_scores
from strongroom.keeper.engine.constraint import Constraint
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob, StepResult
from strongroom.keeper.marking import NO_MARKS
from strongroom.watermark.marks import Marks

MAX_WAITING = 256
"""Jobs of the engine that may wait for a slot."""

Reason = Literal["stop", "length", "cancelled", "egress", "time"]
Charge = Callable[[str, int], bool]
"""Charges a tenant so many grains; False: not covered, nothing charged."""


@dataclass(slots=True)
class _Generation:
    tenant: str
    rung: Rung
    top: int
    charge: int
    prompt: int
    until: float
    scored: set[int] | None
    """Tokens of which scores were shown; ``None`` where that is not capped."""
    completion: int = 0


class Terms(NamedTuple):
    """Schemas to which answers can be held; seconds that a generation may take, by ``clock``; marks
    that answers carry; the adapters that are served, if any are."""

    constraints: Mapping[str, Constraint]
    seconds: float
    clock: Callable[[], float] = time.monotonic
    marks: Marks = NO_MARKS
    adapters: Adapters | None = None


class Generations:
    """All generations of one keeper.

    Args:
        engine: the model.
        disclosure: the sealed policy's rungs.
        coordinates: the caps on scores.
        room: grains that may still leave for a tenant.
        charge: how to charge a tenant.
        terms: schemas, and the time of a generation.
    """

    def __init__(
        self,
        engine: CausalEngine,
        disclosure: Disclosure,
        coordinates: Coordinates,
        room: Callable[[str], int],
        charge: Charge,
        terms: Terms,
    ) -> None:
        self._engine = engine
        self._disclosure = disclosure
        self._coordinates = coordinates
        self._room = room
        self._charge = charge
        self._terms = terms
        self._running: dict[int, _Generation] = {}

    @property
    def busy(self) -> bool:
        """Whether a step would advance anything."""
        return bool(self._running)

    def admit(self, ask: Generate) -> None:
        """Steps 1 to 5.

        Raises:
            RequestRefused: ``keeper.id_in_use``, ``keeper.closed``,
                ``keeper.logprobs_not_granted``, ``keeper.scores_exhausted``,
                ``keeper.schema_refused``, ``keeper.adapter_unknown``, ``keeper.token_unknown``,
                ``keeper.too_long``, ``keeper.queue_full`` or ``keeper.egress_exhausted``.
        """
        if ask.id in self._running:  # (1)
            raise id_in_use()
        rung = self._disclosure.require_text(ask.tenant, ask.top_logprobs)  # (2)
        capped = ask.top_logprobs > 0 and not at_least(rung, "logits")
        if capped:
            self._coordinates.require(ask.tenant, ask.top_logprobs)
        constraint, adapter = self._constraint(ask), self._adapter(ask)
        require_known(self._engine, ask.tokens)  # (3)
        if len(ask.tokens) + ask.max_tokens > self._engine.context_length:
            raise too_long(len(ask.tokens) + ask.max_tokens, self._engine.context_length)
        if self._engine.waiting >= MAX_WAITING:  # (4)
            raise queue_full()
        charge = token_charge(
            self._engine.vocab_size, ask.top_logprobs, rounded=not at_least(rung, "topk")
        )
        if self._room(ask.tenant) < ENDING + charge:  # (5)
            raise exhausted()
        self._charge(ask.tenant, ENDING)
        self._engine.admit(_job(ask, constraint, self._terms.marks, adapter))
        until, scored = self._terms.clock() + self._terms.seconds, set[int]() if capped else None
        self._running[ask.id] = _Generation(
            ask.tenant, rung, ask.top_logprobs, charge, len(ask.tokens), until, scored
        )

    def cancel(self, job_id: int) -> list[ToGateway]:
        """``Done`` for a running generation; nothing for an id that is not (it has been told)."""
        if job_id not in self._running:
            return []
        self._engine.cancel(job_id)
        return [self._end(job_id, "cancelled")]

    def knows(self, job_id: int) -> bool:
        """Whether ``job_id`` is under way."""
        return job_id in self._running

    def overdue(self) -> list[ToGateway]:
        """Step 8: the ends of what has taken too long."""
        now = self._terms.clock()
        over = [job_id for job_id, each in self._running.items() if each.until <= now]
        frames: list[ToGateway] = []
        for job_id in over:
            self._engine.cancel(job_id)
            end = self._end(job_id, "time")
            frames.append(end if end.completion_tokens else late(job_id))
        return frames

    def take(self, result: StepResult) -> list[ToGateway]:
        """Steps 6 and 7, for one result of the engine's step."""
        if result.token is None and not result.finished:
            return []
        generation = self._running[result.id]
        if not self._covered(generation, result):  # (6)
            if not result.finished:
                self._engine.cancel(result.id)
            return [self._end(result.id, "egress")]
        frames: list[ToGateway] = []
        if result.token is not None and result.finished != "stop":  # (7)
            try:
                scores = _scores(generation, result)
            except RequestRefused as refusal:
                return [self._abort(result, refusal)]
            generation.completion += 1
            frames.append(Tokens(result.id, (result.token,), scores))
        if result.finished:
            frames.append(self._end(result.id, result.finished))
        return frames

    def _covered(self, generation: _Generation, result: StepResult) -> bool:
        scored, top = generation.scored, result.top_ids[: generation.top]
        if result.finished == "stop":  # an end token's scores are not sent
            scored = None
        fits = scored is None or self._coordinates.show(generation.tenant, scored, top)
        return fits and self._charge(generation.tenant, generation.charge)

    def _abort(self, result: StepResult, refusal: RequestRefused) -> Refused:
        if not result.finished:
            self._engine.cancel(result.id)
        del self._running[result.id]
        return Refused(result.id, refusal.code, refusal.message)

    def _end(self, job_id: int, reason: Reason) -> Done:
        generation = self._running.pop(job_id)
        return Done(job_id, reason, generation.prompt, generation.completion)

    def _constraint(self, ask: Generate) -> Constraint | None:
        if ask.schema and (ask.top_logprobs or ask.schema not in self._terms.constraints):
            raise _refused(
                "keeper.schema_refused",
                "No such schema is registered, or log-probabilities were asked for with it.",
                "Name a registered schema, and leave out log-probabilities.",
            )
        return self._terms.constraints[ask.schema] if ask.schema else None

    def _adapter(self, ask: Generate) -> str | None:
        if not ask.adapter:
            return None
        if self._terms.adapters is None:
            raise adapters_off()
        return self._terms.adapters.require(ask.tenant, ask.adapter)


def _scores(generation: _Generation, result: StepResult) -> tuple[TokenScores, ...]:
    if not generation.top:
        return ()
    top = generation.top  # whatever an engine returns beyond what was asked and charged stays here
    return (token_scores(generation.rung, result.top_ids[:top], result.top_logprobs[:top]),)


def _job(
    ask: Generate, constraint: Constraint | None, marks: Marks, adapter: str | None
) -> GenerateJob:
    return GenerateJob(
        id=ask.id,
        tokens=ask.tokens,
        max_tokens=ask.max_tokens,
        temperature=ask.sampling.temperature,
        top_p=ask.sampling.top_p,
        top_logprobs=ask.top_logprobs,
        constraint=constraint,
        mark=marks.begin(ask.tenant, ask.tokens[-1]),
        adapter=adapter,
    )


def require_known(engine: CausalEngine, tokens: Sequence[int]) -> None:
    """Every id is one of the vocabulary.

    Raises:
        RequestRefused: ``keeper.token_unknown``.
    """
    if max(tokens) >= engine.vocab_size:
        raise _refused(
            "keeper.token_unknown",
            f"A token id is outside the vocabulary of {engine.vocab_size}.",
            "Use the tokenizer of this model.",
        )


def too_long(needed: int, most: int) -> RequestRefused:
    """More tokens than fit."""
    return _refused(
        "keeper.too_long",
        f"The request needs {needed} tokens, there is room for {most}.",
        "Shorten it or ask for fewer tokens.",
    )


def id_in_use() -> RequestRefused:
    """Another request of that number is under way."""
    return _refused(
        "keeper.id_in_use", "The id is that of a running request.", "Number requests uniquely."
    )


def queue_full() -> RequestRefused:
    """No more may wait."""
    return _refused("keeper.queue_full", f"{MAX_WAITING} requests are waiting.", "Try again later.")


def late(job_id: int) -> Refused:
    """What has not begun to answer within its time."""
    message = "No answer was begun within the time that one may take. Try again later."
    return Refused(job_id, "keeper.time_over", message)


def exhausted() -> RequestRefused:
    """The egress budget of the tenant or of the deployment does not cover another answer."""
    return _refused(
        "keeper.egress_exhausted",
        "The egress budget does not cover another answer now.",
        "Wait until the sliding hour or day has room again.",
    )


def _refused(code: str, message: str, action: str) -> RequestRefused:
    return RequestRefused(code, message, action=action)
