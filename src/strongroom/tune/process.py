"""The life of a process that trains, in numbered steps. It is a keeper that serves nobody.

1. Catch the signals that ask to stop.
2. Read the sealed base's manifest, obtain its data key from key release for evidence over the
   configuration and our own code, as a keeper does (``keeper.loading``).
3. Derive the job's key from it (``checkpoint``); open the base; wipe the data key.
4. Lay tensors over the arena. One step of a made-up job runs: every module is imported and every
   thread exists.
5. Keep the arena out of dumps, children and swap; lock down with the keeper's own walls. From here
   on it opens, starts and connects to nothing.
6. Send ``Ready``; receive the job, its dataset and perhaps a checkpoint: a customer's data is read
   behind the walls only. If it is a session instead, ``conversing`` does steps 7 and 8.
7. Train. After each step say how far it is, and the rounded loss once enough steps are done. A
   checkpoint leaves, sealed, every so many seconds, and when it is asked to stop.
8. The finished adapter is checked as if a stranger had made it, sealed, and sent.
9. Wipe the arena, whatever ended the job.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from types import FrameType

import torch

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import OpenedModel
from strongroom.errors import ConfigurationRefused, KeyRefused
from strongroom.keeper import lockdown
from strongroom.keeper.arena import tensors_over
from strongroom.keeper.card import speech_of
from strongroom.keeper.engine.adapter import check_adapter
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.keeper.lease import HeldLease
from strongroom.keeper.loading import load
from strongroom.release.evidence import LocalAttester
from strongroom.tune.adapter import peft_tensors
from strongroom.tune.checkpoint import Identity, JobKey
from strongroom.tune.config import TuneConfig
from strongroom.tune.conversing import Base, converse
from strongroom.tune.dataset import Example, digest_of
from strongroom.tune.frames import (
    Begin,
    Checkpoint,
    Open,
    Progress,
    Ready,
    Speech,
    decode_to_trainer,
    unpack_examples,
)
from strongroom.tune.job import Job, shown
from strongroom.tune.line import HungUp, Line
from strongroom.tune.policy import Recipe
from strongroom.tune.reasons import refuse

STANDARD_ERROR = 2


class Stopped(BaseException):
    """A signal asked to stop before anything was trained."""


class StopSignals:
    """SIGTERM and SIGINT stop a start at once, and training after the step that runs."""

    def __init__(self) -> None:
        self.requested = False
        self.training = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self.training:
            raise Stopped


def run(config: TuneConfig, digest: str) -> None:
    """Live steps 1 to 9; returns when the job is done, was stopped, or nobody wants it any more.

    Args:
        config: what the process was told.
        digest: SHA-256 of it as it came, hex; evidence states it.

    Raises:
        StrongroomError: why the job cannot be done.
        Stopped: a signal came before anything was trained.
    """
    signals = StopSignals()  # (1)
    torch.set_num_threads(config.threads)
    torch.set_num_interop_threads(1)
    keys: list[JobKey] = []

    def derive(key: DataKey) -> None:
        keys.append(JobKey(key, config.job))

    loaded = load(config, LocalAttester(digest), derive)  # (2), (3)
    try:
        loaded.lease.hang_up()  # not renewed: a job that outlives it goes on with a new one
        _work(config, loaded.model, keys[0], loaded.lease, signals)
    except HungUp:
        return
    finally:
        loaded.model.wipe()  # (9)


def _work(
    config: TuneConfig, model: OpenedModel, key: JobKey, lease: HeldLease, signals: StopSignals
) -> None:
    base = tensors_over(model.arena, model.tensors)  # (4)
    llama = _language_model(model)
    speech = Speech(
        **speech_of(model.files), vocab_size=llama.vocab_size, positions=llama.max_positions
    )
    warm_up(llama, base)
    line = Line(config.job_fd, decode_to_trainer)
    walls = lockdown.protect_arena(model.arena)  # (5)
    walls |= lockdown.lock(
        config.profile,
        keep_fds=[config.job_fd, STANDARD_ERROR],
        required=config.required_walls,
    )
    signals.training = True
    line.send(Ready(speech, walls))  # (6)
    begin = line.receive()
    if isinstance(begin, Open):
        stop = partial(_over, signals, lease)
        converse(config, Base(llama, base, model.manifest.digest), key, line, begin, stop)
        return
    if not isinstance(begin, Begin):
        raise refuse("tune.request_malformed", why="another frame came first")
    examples = unpack_examples(line.blob(begin.dataset_size), llama.vocab_size, llama.max_positions)
    if digest_of(examples) != begin.dataset:
        raise refuse("tune.checkpoint_foreign", what="the dataset")
    sealed = line.blob(begin.checkpoint_size)
    identity = Identity(config.job, model.manifest.digest, begin.dataset, begin.recipe)
    state = key.open(sealed, identity) if sealed else None
    job = Job(llama, base, examples, begin.recipe, state)

    def save() -> None:
        blob = key.seal(job.state, identity)
        line.send(Checkpoint(job.step, len(blob)), blob)

    saved = time.monotonic()
    while not job.done:  # (7)
        loss = job.advance()
        line.send(Progress(job.step, shown(loss) if job.shows else None))
        over = lease.over
        if signals.requested or over or line.waiting():
            save()
            if over:
                raise _lease_over()
            return
        if not job.done and time.monotonic() - saved >= begin.checkpoint_seconds:
            save()
            saved = time.monotonic()
    tensors = peft_tensors(job.adapter)  # (8)
    check_adapter(
        llama,
        base,
        tensors,
        rank=begin.recipe.rank,
        modules=begin.recipe.modules,
        scale=job.adapter.scale,
        most_change=config.change,
    )
    blob = key.seal_result(job.step, tensors, identity)
    line.send(Checkpoint(job.step, len(blob), result=True), blob)


def _over(signals: StopSignals, lease: HeldLease) -> bool:
    """Whether a session is to end now.

    Raises:
        KeyRefused: ``keeper.lease_over``.
    """
    if lease.over:
        raise _lease_over()
    return signals.requested


def warm_up(config: LlamaConfig, tensors: Tensors) -> None:
    """Run every path that training takes once, over ids that mean nothing."""
    ids = tuple(at % config.vocab_size for at in range(8))
    example = Example(ids, (False, *[True] * 7))
    recipe = Recipe(
        rank=1, modules=("q_proj", "down_proj"), rate=1e-4, steps=1, batch=2, least_steps=1
    )
    job = Job(config, tensors, [example, example], recipe)
    job.advance()
    check_adapter(
        config,
        tensors,
        peft_tensors(job.adapter),
        rank=1,
        modules=recipe.modules,
        scale=job.adapter.scale,
        most_change=1.0,
    )


def _language_model(model: OpenedModel) -> LlamaConfig:
    if "config.json" not in model.files:
        raise ConfigurationRefused(
            "tune.not_a_language_model",
            "The sealed model has no config.json.",
            action="Tune a Llama-type language model.",
        )
    return parse_llama_config(model.files["config.json"])


def _lease_over() -> KeyRefused:
    return KeyRefused(
        "keeper.lease_over",
        "The lease of the data key is over; the weights have been wiped.",
        action="Resume the job: it asks key release for a new lease and goes on.",
    )
