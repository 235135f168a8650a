"""One gateway's conversation: frames in, frames out, without I/O.

The loop around it (``channel``) calls ``receive`` for each frame that came and ``step`` while
``busy``. Frames returned by either may be sent at once: what they carry has been charged, and the
charge recorded, before they are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from strongroom.boundary.charging import GRAINS_PER_BIT
from strongroom.boundary.frames import (
    AdapterState,
    AskStatus,
    Cancel,
    Classify,
    Embed,
    Generate,
    LoadAdapter,
    Refused,
    Status,
    ToGateway,
    ToKeeper,
    UnloadAdapter,
)
from strongroom.errors import RequestRefused
from strongroom.keeper.adapters import adapters_off
from strongroom.keeper.classifications import Classifications
from strongroom.keeper.coordinates import Coordinates
from strongroom.keeper.disclosure import Disclosure
from strongroom.keeper.egress import Meter
from strongroom.keeper.embeddings import Embedding
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine
from strongroom.keeper.generations import Generations, Terms, id_in_use


class Session:
    """What a keeper answers.

    Args:
        engine: the model, of either kind.
        disclosure: the sealed policy's rungs.
        coordinates: the caps on scores.
        meter: the egress meter.
        now: seconds since the epoch, for the meter.
        commit: records the meter's charges; called before charged frames are returned.
        terms: schemas, the time of a generation, adapters.
    """

    def __init__(
        self,
        engine: CausalEngine | ClassifierEngine,
        disclosure: Disclosure,
        coordinates: Coordinates,
        meter: Meter,
        now: Callable[[], int],
        commit: Callable[[], None],
        terms: Terms,
    ) -> None:
        self._engine = engine
        self._meter = meter
        self._now = now
        self._commit = commit
        self._adapters = terms.adapters
        self._generations: Generations | None = None
        self._embedding: Embedding | None = None
        self._classifications: Classifications | None = None
        if isinstance(engine, CausalEngine):
            self._generations = Generations(
                engine, disclosure, coordinates, self._room, self._charge, terms
            )
            self._embedding = Embedding(engine, disclosure, self._charge, terms)
        else:
            self._classifications = Classifications(engine, disclosure, self._charge)

    @property
    def busy(self) -> bool:
        """Whether ``step`` has something to do."""
        rooms = (self._generations, self._embedding)
        return any(room is not None and room.busy for room in rooms)

    def receive(self, frame: ToKeeper) -> Sequence[ToGateway]:
        """Answer one frame of the gateway."""
        try:
            return self._dispatch(frame)
        except RequestRefused as refusal:
            if isinstance(frame, AskStatus):
                raise
            return [Refused(frame.id, refusal.code, f"{refusal.message} {refusal.action}")]
        finally:
            self._commit()

    def step(self) -> Sequence[ToGateway]:
        """Advance everything that is under way once."""
        if not isinstance(self._engine, CausalEngine):
            return []
        generations, embedding = self._of_language()
        frames = [*generations.overdue(), *embedding.overdue()]
        for result in self._engine.step():
            frames += (generations if result.id > 0 else embedding).take(result)
        self._commit()
        return frames

    def _dispatch(self, frame: ToKeeper) -> Sequence[ToGateway]:
        match frame:
            case AskStatus():
                return [self._status()]
            case Generate():
                generations, embedding = self._of_language()
                if embedding.knows(frame.id):
                    raise id_in_use()
                generations.admit(frame)
                return []
            case Embed():
                generations, embedding = self._of_language()
                if generations.knows(frame.id):
                    raise id_in_use()
                embedding.admit(frame)
                return []
            case Cancel():
                if self._generations is None or self._embedding is None:
                    return []
                return [*self._generations.cancel(frame.id), *self._embedding.cancel(frame.id)]
            case LoadAdapter() | UnloadAdapter():
                return self._adapter(frame)
            case Classify():
                if self._classifications is None:
                    raise _wrong_kind("a language model")
                return [self._classifications.classify(frame)]

    def _adapter(self, frame: LoadAdapter | UnloadAdapter) -> list[AdapterState]:
        if self._adapters is None:
            raise adapters_off()
        if isinstance(frame, UnloadAdapter):
            return [self._adapters.drop(frame)]
        state = self._adapters.take(frame)
        return [] if state is None else [state]

    def _of_language(self) -> tuple[Generations, Embedding]:
        if self._generations is None or self._embedding is None:
            raise _wrong_kind("a classifier")
        return self._generations, self._embedding

    def _status(self) -> Status:
        hour, day = self._meter.spent(self._now())
        budget = self._meter.deployment_budget
        causal = self._engine if isinstance(self._engine, CausalEngine) else None
        return Status(
            active=causal.active if causal else 0,
            waiting=causal.waiting if causal else 0,
            egress_bits_hour=hour / GRAINS_PER_BIT,
            egress_bits_day=day / GRAINS_PER_BIT,
            budget_bits_hour=budget.hour / GRAINS_PER_BIT,
            budget_bits_day=budget.day / GRAINS_PER_BIT,
        )

    def _room(self, tenant: str) -> int:
        return self._meter.room(tenant, self._now())

    def _charge(self, tenant: str, grains: int) -> bool:
        return self._meter.charge(tenant, grains, self._now())


def _wrong_kind(kind: str) -> RequestRefused:
    return RequestRefused(
        "keeper.wrong_kind",
        f"This keeper serves {kind}.",
        action="Ask for what this model does; its card says which.",
    )
