"""A session: training whose batches and steps a customer calls for, one by one.

What a job does by a recipe, a session does when it is asked, within the same limits:

1. ``learn`` adds the gradient of conversations to what was gathered since the last step. Near
   repeats of one that is gathered already are passed over.
2. ``update`` is one clipped step of the service's own optimiser along the mean over all that was
   gathered. It is refused until the floors of a dataset are met by what was gathered; nothing is
   lost then. The rate is the customer's within the owner's bounds.
3. A loss is told once a step, rounded, over all that was gathered, and only where that meets the
   floors: two losses over batches that differ in one conversation are two steps apart.
4. Nothing shows before ``least_steps`` steps. Only those count whose rate is a tenth of the highest
   or more, as a job's last ones have: otherwise one large step among tiny ones would show alone.

Pure but for the computing: no clock, no file, no socket. What was gathered is in no ``State``: a
session that goes on from one has gathered nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from strongroom.errors import RequestRefused
from strongroom.keeper.engine.adapter import Adapter
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.dataset import Distinct, Example, digest_of, require_floors
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import MOST_CELLS, State, cut, shown
from strongroom.tune.optimiser import Flat, adamw
from strongroom.tune.policy import Policy, Recipe
from strongroom.tune.reasons import refuse

COUNTING_SHARE: Final = 0.1
"""Of the highest rate, from which on a step counts among those before anything shows."""


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session has done: the rate of each step, and what was learnt from.

    ``dataset`` is a chain of SHA-256 over the steps' digests, hex. ``batch`` is the smallest of a
    step, 0 before the first.
    """

    rates: tuple[float, ...] = ()
    dataset: str = ""
    examples: int = 0
    tokens: int = 0
    batch: int = 0

    def after(self, batch: Sequence[Example], rate: float) -> History:
        """With one step more."""
        chained = hashlib.sha256(b"strongroom session v1\0")
        chained.update(self.dataset.encode() + digest_of(batch).encode())
        return History(
            (*self.rates, rate),
            chained.hexdigest(),
            self.examples + len(batch),
            self.tokens + sum(len(example.ids) for example in batch),
            min(self.batch or len(batch), len(batch)),
        )

    @property
    def counting(self) -> int:
        """Rule 4."""
        least = COUNTING_SHARE * max(self.rates, default=0.0)
        return sum(rate >= least for rate in self.rates)


_encode = msgspec.msgpack.Encoder().encode
_decode: msgspec.msgpack.Decoder[History] = msgspec.msgpack.Decoder(History)


class Session:
    """One session over one base.

    Args:
        config, tensors: the base; only read.
        recipe: rank and modules; its rate, steps and batch are the policy's most.
        policy: the owner's limits.
        state: where to go on; None begins with a fresh seed.

    Raises:
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
    """

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Tensors,
        recipe: Recipe,
        policy: Policy,
        state: State | None = None,
    ) -> None:
        self._recipe, self._policy = recipe, policy
        self._seed = Seed() if state is None else state.seed
        self._start = fresh(config, recipe.modules, recipe.rank, self._seed)
        self._decoder = Decoder(config, tensors, self._start.scale)
        self._flat = Flat(self._start.pairs)
        self.history = History()
        if state is not None:
            self.history = _decode.decode(state.history)
            self._flat.restore(state.tensors)
        self._forget()

    def _forget(self) -> None:
        """Begin to gather anew."""
        self._distinct = Distinct(self._policy.floors.fresh_runs)
        self._gathered: list[Example] = []
        self._shown, self._total, self._told = 0, 0.0, False

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history.rates)

    @property
    def state(self) -> State:
        """Where to go on; its tensors are those that the next step changes."""
        return State(self.step, self._seed, self._flat.state(), _encode(self.history))

    @property
    def adapter(self) -> Adapter:
        """The adapter as it is now."""
        pairs = {place: (a.detach(), b.detach()) for place, (a, b) in self._flat.pairs.items()}
        return replace(self._start, pairs=pairs)

    @property
    def recipe(self) -> Recipe:
        """What was done, in a job's words: the highest rate, the steps, the smallest batch."""
        history = self.history
        rate, batch = max(history.rates, default=self._recipe.rate), history.batch
        return msgspec.structs.replace(self._recipe, rate=rate, steps=self.step, batch=batch)

    def require_shows(self) -> None:
        """Refuse, ``tune.too_early``, what would show anything before rule 4 allows it."""
        found, least = self.history.counting, self._policy.least_steps
        if found < least:
            raise refuse("tune.too_early", found=found, least=least)

    def learn(self, examples: Sequence[Example]) -> float | None:
        """Rule 1; the mean loss of a learnt token if it may be told now, rounded.

        Raises:
            RequestRefused: ``tune.gathered_too_many``; nothing was computed. ``tune.diverged``: the
                session is over.
        """
        if self._shown + len(examples) > self._policy.most_batch:
            raise refuse("tune.gathered_too_many", limit=self._policy.most_batch)
        self._shown += len(examples)
        new = [example for example in examples if self._distinct.takes(example)]
        self._gathered += new
        for group in cut(new, MOST_CELLS):
            rows = rows_of([(example.ids, example.learnt) for example in group])
            loss = self._decoder.loss(rows, self._flat.pairs)
            loss.backward()  # type: ignore[no-untyped-call]
            self._total += float(loss.detach())
        if not math.isfinite(self._total):
            raise refuse("tune.diverged", step=self.step)
        return self._tell()

    def _tell(self) -> float | None:
        """Rule 3."""
        try:
            self.require_shows()
            self._require_floors()
        except RequestRefused:
            return None
        if self._told:
            return None
        self._told = True
        return shown(self._total / self._learnt)

    @property
    def _learnt(self) -> int:
        return sum(example.supervised for example in self._gathered)

    def _require_floors(self) -> None:
        require_floors(self._gathered, self._shown, self._policy.floors)

    def update(self, rate: float) -> None:
        """Rule 2.

        Raises:
            RequestRefused: ``tune.rate_refused``, ``tune.steps_refused``, or a floor that is not
                met; nothing has changed. ``tune.diverged``: the session is over.
        """
        policy = self._policy
        if not policy.least_rate <= rate <= policy.most_rate:  # not a number is neither
            bounds = {"least": policy.least_rate, "limit": policy.most_rate}
            raise refuse("tune.rate_refused", value=rate, **bounds)
        if self.step >= policy.most_steps:
            bounds = {"least": policy.least_steps, "limit": policy.most_steps}
            raise refuse("tune.steps_refused", value=self.step + 1, **bounds)
        self._require_floors()
        self._flat.grads.div_(self._learnt)
        length = adamw(self._flat, self.step, rate)
        if not math.isfinite(length):
            raise refuse("tune.diverged", step=self.step + 1)
        self.history = self.history.after(self._gathered, rate)
        self._forget()
