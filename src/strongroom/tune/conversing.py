"""What a training process does in a session, behind its walls: it answers one frame after another.

1. A refusal of what was asked (a floor, a rate, too early) is an answer; the session goes on. What
   breaks the session itself (``tune.diverged``, a frame that is none) ends the process.
2. Conversations come as token ids that the gateway has judged; here they must fit the model.
3. A checkpoint is bound to the session and its recipe. An adapter is sealed as the result of a job,
   under the session's key, so that it is sealed as an artifact in a job's own way; it is checked
   first as if a stranger had made it.
4. Asked to stop, it leaves a checkpoint. When its runner hangs up there is nobody to take one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from strongroom.errors import BoundaryRefused, StrongroomError
from strongroom.keeper.engine.adapter import check_adapter
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.tune.adapter import peft_tensors
from strongroom.tune.checkpoint import Identity, JobKey
from strongroom.tune.config import TuneConfig
from strongroom.tune.frames import (
    Checkpoint,
    Keep,
    Learn,
    Learned,
    Open,
    Progress,
    Refused,
    Save,
    Saved,
    ToTrainer,
    Update,
    unpack_examples,
)
from strongroom.tune.line import Line
from strongroom.tune.session import Session

_LOOK_MILLISECONDS: Final = 250
_NO_DATASET: Final = "0" * 64
_FATAL: Final = "tune.diverged"


@dataclass(frozen=True)
class Base:
    """The open base: what it computes with, and the digest of its manifest."""

    config: LlamaConfig
    tensors: Tensors
    manifest: str


def converse(
    config: TuneConfig,
    base: Base,
    key: JobKey,
    line: Line[ToTrainer],
    opening: Open,
    over: Callable[[], bool],
) -> None:
    """Hold a session until ``over`` says so or raises.

    Raises:
        HungUp: the runner is gone.
        StrongroomError: rule 1.
    """
    identity = Identity(config.job, base.manifest, _NO_DATASET, opening.recipe)
    sealed = line.blob(opening.checkpoint_size)
    state = key.open(sealed, identity) if sealed else None
    session = Session(base.config, base.tensors, opening.recipe, opening.policy, state)
    answering = _Answering(config, base, key, line, session, identity)
    try:
        while not over():
            if line.waiting(_LOOK_MILLISECONDS):
                answering.answer(line.receive())
    except StrongroomError as error:
        if error.code != _FATAL:
            answering.keep()  # (4): the lease is over, and another process may go on
        raise
    answering.keep()


class _Answering:
    def __init__(
        self,
        config: TuneConfig,
        base: Base,
        key: JobKey,
        line: Line[ToTrainer],
        session: Session,
        identity: Identity,
    ) -> None:
        self._config, self._base, self._key = config, base, key
        self._line, self._session, self._identity = line, session, identity

    def answer(self, frame: ToTrainer) -> None:
        """Rule 1."""
        try:
            self._do(frame)
        except BoundaryRefused:
            raise
        except StrongroomError as error:
            if error.code == _FATAL:
                raise
            self._line.send(Refused(error.code, error.message, error.action))

    def keep(self) -> None:
        """Rule 3: a checkpoint."""
        session = self._session
        blob = self._key.seal(session.state, self._identity)
        self._line.send(Checkpoint(session.step, len(blob)), blob)

    def _do(self, frame: ToTrainer) -> None:
        line, session, config = self._line, self._session, self._base.config
        if isinstance(frame, Learn):
            packed = line.blob(frame.size)
            examples = unpack_examples(packed, config.vocab_size, config.max_positions)  # (2)
            line.send(Learned(session.learn(examples)))
        elif isinstance(frame, Update):
            session.update(frame.rate)
            line.send(Progress(session.step, None))
        elif isinstance(frame, Keep):
            self.keep()
        elif isinstance(frame, Save):
            self._save(frame.job)
        else:
            raise BoundaryRefused(
                "tune.bad_frame",
                "A frame between a session and its runner cannot be used: it came out of turn.",
                action="Run the same version on both sides.",
            )

    def _save(self, job: str) -> None:
        """Rule 3: an adapter."""
        session, base = self._session, self._base
        session.require_shows()
        recipe, history, adapter = session.recipe, session.history, session.adapter
        tensors = peft_tensors(adapter)
        check_adapter(
            base.config,
            base.tensors,
            tensors,
            rank=recipe.rank,
            modules=recipe.modules,
            scale=adapter.scale,
            most_change=self._config.change,
        )
        identity = Identity(job, base.manifest, history.dataset, recipe)
        blob = self._key.seal_result(session.step, tensors, identity)
        saved = Saved(recipe, history.dataset, history.examples, history.tokens, len(blob))
        self._line.send(saved, blob)
