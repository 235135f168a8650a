"""Embeddings under way: admission, disclosure and egress around a causal engine. No I/O.

An embedding is the mean of the model's final hidden states over one text: a linear look at its
inside. So it needs the rung ``embeddings`` and is given in steps, whole or not at all, to whoever
brought the text; nothing of it is kept.

1. The id is not in use; the sealed policy grants the tenant embeddings.
2. Every token id is one of the vocabulary; each text fits the context, all together the limit.
3. The queue has room for all texts.
4. The whole answer is charged before anything is computed; if the budgets do not cover it, it is
   refused.
5. Texts share the engine's steps with whatever else it does. The answer leaves when the last one
   is done; what takes longer than it may is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from strongroom.boundary.charging import embedding_charge
from strongroom.boundary.frames import (
    MAX_PROMPT_TOKENS,
    Done,
    Embed,
    Embeddings,
    Refused,
    ToGateway,
)
from strongroom.errors import RequestRefused
from strongroom.keeper.disclosure import Disclosure, embedded
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob, StepResult
from strongroom.keeper.generations import (
    MAX_WAITING,
    Charge,
    Terms,
    exhausted,
    id_in_use,
    late,
    queue_full,
    require_known,
    too_long,
)


@dataclass(slots=True)
class _Asked:
    """``open`` are the engine's jobs that are not done, ``rows`` what the others gave, by job."""

    tokens: int
    until: float
    open: deque[int] = field(default_factory=deque)
    rows: dict[int, bytes] = field(default_factory=dict)


class Embedding:
    """All embeddings of one keeper.

    Args:
        engine: the model.
        disclosure: the sealed policy's rungs.
        charge: how to charge a tenant.
        terms: the time that an answer may take.
    """

    def __init__(
        self, engine: CausalEngine, disclosure: Disclosure, charge: Charge, terms: Terms
    ) -> None:
        self._engine = engine
        self._disclosure = disclosure
        self._charge = charge
        self._terms = terms
        self._running: dict[int, _Asked] = {}
        self._jobs: dict[int, int] = {}
        self._last = 0

    @property
    def busy(self) -> bool:
        """Whether a step would advance anything."""
        return bool(self._running)

    def knows(self, number: int) -> bool:
        """Whether ``number`` is under way."""
        return number in self._running

    def admit(self, ask: Embed) -> None:
        """Steps 1 to 4.

        Raises:
            RequestRefused: ``keeper.id_in_use``, ``keeper.embeddings_not_granted``,
                ``keeper.token_unknown``, ``keeper.too_long``, ``keeper.queue_full`` or
                ``keeper.egress_exhausted``.
        """
        if ask.id in self._running:  # (1)
            raise id_in_use()
        self._disclosure.require_embeddings(ask.tenant)
        for text in ask.texts:  # (2)
            require_known(self._engine, text)
            if len(text) >= self._engine.context_length:
                raise too_long(len(text) + 1, self._engine.context_length)
        tokens = sum(map(len, ask.texts))
        if tokens > MAX_PROMPT_TOKENS:
            raise too_long(tokens, MAX_PROMPT_TOKENS)
        if self._engine.waiting + len(ask.texts) > MAX_WAITING:  # (3)
            raise queue_full()
        if not self._charge(ask.tenant, embedding_charge(len(ask.texts), self._engine.width)):
            raise exhausted()  # (4)
        asked = _Asked(tokens, self._terms.clock() + self._terms.seconds)
        self._running[ask.id] = asked
        for text in ask.texts:
            self._last -= 1  # generations have the gateway's ids, which are above zero
            asked.open.append(self._last)
            self._jobs[self._last] = ask.id
            self._engine.admit(GenerateJob(self._last, text, 1, 0.0, 1.0, pooled=True))

    def cancel(self, number: int) -> list[ToGateway]:
        """``Done`` for what is under way; nothing otherwise."""
        asked = self._forget(number)
        return [] if asked is None else [Done(number, "cancelled", asked.tokens, 0)]

    def overdue(self) -> list[ToGateway]:
        """Refusals of what has taken too long."""
        now = self._terms.clock()
        over = [number for number, asked in self._running.items() if asked.until <= now]
        for number in over:
            self._forget(number)
        return [late(number) for number in over]

    def take(self, result: StepResult) -> Sequence[ToGateway]:
        """What one result of a step makes of an answer."""
        number = self._jobs.get(result.id)
        if result.pooled is None or number is None:  # refused for another text of this very step
            return ()
        del self._jobs[result.id]
        asked = self._running[number]
        asked.open.remove(result.id)
        try:
            asked.rows[result.id] = embedded(result.pooled)
        except RequestRefused as refusal:
            self._forget(number)
            return [Refused(number, refusal.code, refusal.message)]
        if asked.open:
            return ()
        del self._running[number]
        rows = [asked.rows[job] for job in sorted(asked.rows, reverse=True)]
        return [Embeddings(number, b"".join(rows))]

    def _forget(self, number: int) -> _Asked | None:
        asked = self._running.pop(number, None)
        for job in asked.open if asked else ():
            self._engine.cancel(job)
            del self._jobs[job]
        return asked
