"""The loop of a job: one optimiser step after another, until the recipe's are done.

1. A step takes ``batch`` different conversations. The order is the seed's, another for each pass
   over the data; what does not fill a last batch waits for the next pass, so that no step sees a
   conversation twice and none sees fewer than it must.
2. They are cut into rows of similar length (``MOST_CELLS`` tokens at once, padding included), the
   longest first; each row's loss is divided by the tokens that the whole step learns from.
3. One clipped step of the service's own optimiser.
4. A loss or weight that is not finite ends the job.

A private job takes each conversation with the recipe's chance instead, so that a step may take more
or fewer than ``batch``; see ``private_step``. No loss of it is shown, for none is private.

Pure but for the computing: no clock, no file, no socket. A job that was stopped goes on from its
``State`` and does what it would have done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from strongroom.keeper.engine.adapter import Adapter
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.dataset import Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.optimiser import Flat, adamw, rate_at
from strongroom.tune.policy import Private, Recipe
from strongroom.tune.private_step import add_noise, clipped_sum
from strongroom.tune.reasons import refuse

MOST_CELLS: Final = 2_048
"""Token positions that are computed at once, unless one conversation is longer."""

LOSS_DIGITS: Final = 2
"""Of a loss that is shown: more would say more of the base than a customer needs."""


@dataclass(frozen=True, slots=True, repr=False)
class State:
    """All that a job needs to go on: steps done, the seed, matrices and moments.

    ``history`` is what a session keeps beside (``session.History``); a job has none.
    """

    step: int
    seed: Seed
    tensors: Mapping[str, Tensor]
    history: bytes = b""


class Job:
    """One job over one base.

    Args:
        config, tensors: the base; only read.
        examples: distinct conversations, at least ``recipe.batch`` of them.
        state: where to go on; None begins with a fresh seed.

    Raises:
        RequestRefused: ``tune.too_few_sequences``.
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
    """

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Tensors,
        examples: Sequence[Example],
        recipe: Recipe,
        state: State | None = None,
    ) -> None:
        if len(examples) < recipe.batch:
            raise refuse("tune.too_few_sequences", found=len(examples), least=recipe.batch)
        self._examples, self._recipe = examples, recipe
        self._seed = Seed() if state is None else state.seed
        self._start = fresh(config, recipe.modules, recipe.rank, self._seed)
        self._decoder = Decoder(config, tensors, self._start.scale)
        self._flat = Flat(self._start.pairs)
        self.step = 0
        if state is not None:
            self.step = state.step
            self._flat.restore(state.tensors)

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self._recipe.steps

    @property
    def shows(self) -> bool:
        """Whether so many steps are done that a loss may be told."""
        return self._recipe.private is None and self.step >= self._recipe.least_steps

    @property
    def state(self) -> State:
        """Where to go on; its tensors are those that the next step changes."""
        return State(self.step, self._seed, self._flat.state())

    @property
    def adapter(self) -> Adapter:
        """The adapter as it is now."""
        pairs = {place: (a.detach(), b.detach()) for place, (a, b) in self._flat.pairs.items()}
        return replace(self._start, pairs=pairs)

    def advance(self) -> float:
        """One step; the mean loss of a learnt token before it.

        Raises:
            RequestRefused: ``tune.diverged``.
        """
        if self._recipe.private is not None:
            return self._advance_privately(self._recipe.private)
        batch = self._batch()  # (1)
        learnt = sum(example.supervised for example in batch)
        total = 0.0
        for group in cut(batch, MOST_CELLS):  # (2)
            rows = rows_of([(example.ids, example.learnt) for example in group])
            loss = self._decoder.loss(rows, self._flat.pairs) / learnt
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        rate = rate_at(self.step, self._recipe.steps, self._recipe.rate)
        length = adamw(self._flat, self.step, rate)  # (3)
        self.step += 1
        if not (math.isfinite(total) and math.isfinite(length)):  # (4)
            raise refuse("tune.diverged", step=self.step)
        return total

    def _advance_privately(self, private: Private) -> float:
        """One step; not a number, because no loss of it may be told."""
        label = f"step {self.step}"
        chosen = self._seed.chosen(label, len(self._examples), private.share)
        sample = [self._examples[at] for at in chosen]
        flat = self._flat
        total = clipped_sum(self._decoder, flat, sample, private.clip)
        add_noise(total, self._seed, label, private.noise * private.clip)
        flat.grads.copy_(total.div_(self._recipe.batch))
        length = adamw(flat, self.step, rate_at(self.step, self._recipe.steps, self._recipe.rate))
        self.step += 1
        if not math.isfinite(length):
            raise refuse("tune.diverged", step=self.step)
        return math.nan

    def _batch(self) -> list[Example]:
        size = self._recipe.batch
        turn, place = divmod(self.step, len(self._examples) // size)
        order = self._seed.order(f"pass {turn}", len(self._examples))
        return [self._examples[at] for at in order[place * size : (place + 1) * size]]


def cut(examples: Sequence[Example], most: int) -> list[list[Example]]:
    """Groups of similar length, longest first, of at most ``most`` cells with their padding."""
    groups: list[list[Example]] = []
    for example in sorted(examples, key=lambda each: len(each.ids), reverse=True):
        if groups and len(groups[-1][0].ids) * (len(groups[-1]) + 1) <= most:
            groups[-1].append(example)
        else:
            groups.append([example])
    return groups


def shown(loss: float) -> float:
    """A loss as it may be told."""
    return round(loss, LOSS_DIGITS)
