"""Runs a tuning job: starts its processes, keeps what they say, and picks up where one left off.

1. Take the job's lock: it has one runner at a time, and a runner that dies sets it free.
2. Start key release and the training process; wait until that one is behind its walls.
3. Send the dataset and the last checkpoint; keep what comes back: progress in the store,
   checkpoints, sealed, in the job's folder, each written whole or not at all.
4. A job that was cancelled meanwhile, or a signal: training ends after the step that runs.
5. The result is sealed as an artifact by another process, which never opens the base.

What is the job's own fault ends it; anything else puts it back into the queue.

``H/state/tuning/JOB/`` has ``lock``, ``checkpoint``, ``result``, and at last ``adapter/`` and
``served``, the same adapter for the keepers of its base.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from strongroom.artifact.durable import sync_folder, write_durably
from strongroom.cli import lineage, tune_record
from strongroom.cli.adapter_sealing import SealingConfig
from strongroom.cli.tune_workload import Place, Workload, locked
from strongroom.errors import BoundaryRefused, ConfigurationRefused, StrongroomError
from strongroom.gateway.adapters import SERVED_BLOB
from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.ids import new_id
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.gateway.training_text import dataset_of
from strongroom.store.tuning import (
    OPEN,
    Status,
    StoredCheckpoint,
    StoredJob,
)
from strongroom.tune.config import TuneConfig
from strongroom.tune.dataset import Dataset, require_lines
from strongroom.tune.frames import (
    Begin,
    Checkpoint,
    Progress,
    Ready,
    Stop,
    ToRunner,
    decode_to_runner,
)
from strongroom.tune.ledger import require_budget
from strongroom.tune.line import HungUp, Line
from strongroom.tune.making import make_job
from strongroom.tune.policy import Policy, Recipe, Wish, grant

Tell = Callable[[StoredJob, float | None], None]
"""Told a job whenever it has come further, and the seconds that it needs yet, if known."""

OWN_FAULTS = ("tune.", "keeper.adapter_")
"""Codes that another attempt would meet again."""

CHECKPOINT, RESULT, ADAPTER_FOLDER = "checkpoint", "result", "adapter"

_LOOK_MILLISECONDS = 250
_EVENT_STEPS = 10
"""One step in so many is an event."""


class Training:
    """A training process behind its walls: steps 2 to 4. A context manager.

    Raises:
        ChildFailed: it could not start.
    """

    def __init__(self, place: Place, job: str) -> None:
        plan = place.plan
        self._place = place
        self._workload = Workload(
            place,
            "tune",
            lambda common, descriptor: TuneConfig(
                **common,
                job_fd=descriptor,
                job=job,
                change=plan.home.settings.tuning.policy.change,
                required_walls=plan.serving.required_walls,
                threads=plan.threads,
            ),
        )
        self._line: Line[ToRunner] = Line(self._workload.socket.fileno(), decode_to_runner)
        try:
            ready = self._line.receive()
        except HungUp:
            self._workload.end()
            raise out_of_turn() from None
        if not isinstance(ready, Ready):
            raise out_of_turn()
        self._speech = ready.speech
        self._walls = ready.walls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self._workload.kill()

    def dataset(self, raw: bytes, policy: Policy) -> Dataset:
        """A file read with the base's own tokenizer; the errors of ``tune.dataset``."""
        speech = self._speech
        tokenizer = ModelTokenizer(speech.tokenizer, speech.vocab_size)
        template = ChatTemplate(speech.chat_template, speech.special_tokens, tokenizer)
        return dataset_of(raw, template, tokenizer, policy.within(speech.positions))

    def train(self, job: StoredJob, tell: Tell) -> bool:
        """Steps 3 and 4; whether the result lies in the job's folder.

        Raises:
            StrongroomError: why there is none and will be none.
        """
        place, folder = self._place, self._place.folder(job.id)
        on = ", ".join(name for name, state in self._walls.items() if state == "on")
        place.note(job.id, f"Training behind its walls: {on or 'none stands'}.")
        dataset = place.store.dataset(job.id)
        checkpoint = read(folder / CHECKPOINT)
        recipe = msgspec.json.decode(job.recipe, type=Recipe)
        seconds = place.plan.home.settings.tuning.checkpoint_seconds
        begin = Begin(recipe, job.dataset, len(dataset), len(checkpoint), seconds)
        with suppress(HungUp):  # why it hung up, it says at its end
            self._line.send(begin, dataset)
            self._line.send_blob(checkpoint)
        pace, done, loss = Pace(job.steps), False, job.loss
        for frame in self._frames(job.id):
            if isinstance(frame, Progress):
                loss = frame.loss
                place.store.advance(job.id, frame.step, loss)
                if loss is not None and frame.step % _EVENT_STEPS == 0:
                    words = f"Step {frame.step} of {job.steps}: loss {loss:.2f}"
                    place.note(job.id, words, step=frame.step, loss=loss)
                tell(
                    msgspec.structs.replace(job, step=frame.step, loss=loss), pace.left(frame.step)
                )
            elif isinstance(frame, Checkpoint):
                done = frame.result
                blob = self._line.blob(frame.size)
                keep(folder / (RESULT if done else CHECKPOINT), blob)
                if loss is not None and not done:
                    kept = StoredCheckpoint(job.id, frame.step, int(time.time()), loss)
                    place.store.add_checkpoint(kept)
            else:
                raise out_of_turn()
        self._workload.end()
        return done

    def _frames(self, job: str) -> Iterator[ToRunner]:
        """What comes, to the end of the stream; asks for that once the job is to stop."""
        told = False
        while True:
            if not told and self._unwanted(job):
                told = True
                with suppress(HungUp):
                    self._line.send(Stop())
            if not self._line.waiting(_LOOK_MILLISECONDS):
                continue
            try:
                frame = self._line.receive()
            except HungUp:
                return
            yield frame

    def _unwanted(self, job: str) -> bool:
        found = self._place.store.job(job)
        return self._place.asked.stop or found is None or found.status not in OPEN


class Pace:
    """How long the rest of a job takes, from how long its steps took since it began or went on."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._first: tuple[int, float] | None = None

    def left(self, step: int) -> float | None:
        """Seconds from now, once two steps were seen."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        began, at = self._first
        return None if step == began else (now - at) / (step - began) * (self._steps - step)


def create(
    place: Place, raw: bytes, wish: Wish, organisation: str, name: str, tell: Tell
) -> tuple[StoredJob, Status]:
    """Make a job from an owner's file and run it.

    Raises:
        StrongroomError: as ``run_job``, and what the file or the wish is refused for; then there is
            no job.
    """
    policy = place.plan.home.settings.tuning.policy
    recipe = grant(wish, policy)
    require_lines(raw, policy)
    job_id = new_id("ftjob-")
    try:
        with locked(place, job_id), Training(place, job_id) as training:  # (1), (2)
            job = make_job(
                training.dataset(raw, policy),
                recipe,
                job_id=job_id,
                organisation=organisation,
                name=name,
                base=(place.plan.model_name, place.plan.manifest.digest),
                dp=policy.dp,
                epsilon=wish.privacy_epsilon,
            )
            allow = partial(require_budget, policy.dp, job[0])
            tune_record.keep(place.plan.home, place.store, *job, allow)
            place.store.begin(job_id, int(time.time()))
            became = settle(place, job[0], lambda: _went(place, training, job[0], tell))
    finally:
        if place.store.job(job_id) is None:
            shutil.rmtree(place.folder(job_id))
    return job[0], became


def next_job(place: Place) -> StoredJob | None:
    """The oldest job of this base that has no runner. Clears away what cancelled ones left."""
    for job in reversed(place.store.jobs()):
        left = place.plan.home.state / "tuning" / job.id / CHECKPOINT
        waits = job.status in OPEN and job.manifest == place.plan.manifest.digest
        if not waits and (job.status in OPEN or not left.exists()):
            continue
        with suppress(ConfigurationRefused), locked(place, job.id):
            if waits:
                return job
            _tidy(left.parent)
    return None


def _went(place: Place, training: Training, job: StoredJob, tell: Tell) -> Status:
    return finish(place, job) if training.train(job, tell) else "queued"


def run_job(place: Place, job: StoredJob, tell: Tell) -> Status:
    """Steps 1 to 5 for a job that is in the store; what became of it.

    Raises:
        ConfigurationRefused: ``tune.job_runs``, ``tune.job_elsewhere``.
        StrongroomError: why it is back in the queue.
    """
    with locked(place, job.id):  # (1)
        found = place.store.job(job.id)
        if found is None or found.status not in OPEN:
            return "cancelled" if found is None else found.status
        if found.manifest != place.plan.manifest.digest:
            raise ConfigurationRefused(
                "tune.job_elsewhere",
                f"The job {job.id} was made for another release of its base.",
                action="Name the sealed model that it was made for.",
            )
        place.store.begin(job.id, int(time.time()))
        return settle(place, found, lambda: _attempt(place, found, tell))


def settle(place: Place, job: StoredJob, attempt: Callable[[], Status]) -> Status:
    """Let a job that has begun end as its attempt says; whatever happens, it is not left running.

    Raises:
        StrongroomError: why it is back in the queue.
    """
    try:
        became = _ended(place, job, attempt)
    except StrongroomError:
        place.store.requeue(job.id)
        place.note(job.id, "Interrupted; it waits for a runner.")  # why is the operator's
        raise
    except BaseException:
        place.store.requeue(job.id)
        raise
    if became == "queued" and not place.store.requeue(job.id):
        became = "cancelled"
    if became not in OPEN:
        _tidy(place.folder(job.id))
    return became


def _ended(place: Place, job: StoredJob, attempt: Callable[[], Status]) -> Status:
    """What the attempt says, and what is the job's own fault as its failure."""
    try:
        return attempt()
    except StrongroomError as error:
        if not error.code.startswith(OWN_FAULTS):
            raise
        home, now = place.plan.home, int(time.time())
        tune_record.record(home, job, "failed", code=error.code)
        if not place.store.end(job.id, "failed", now, error=error.code, reason=error.message):
            tune_record.record(home, job, "cancelled")  # meanwhile: the last entry holds
            return "cancelled"
        place.note(job.id, f"Failed: {error.message}", error=True)
        return "failed"


def finish(place: Place, job: StoredJob, key_of: str = "") -> Status:
    """Step 5. ``key_of``: the session under whose key the result lies; the job's own without."""
    folder = place.folder(job.id)
    home = place.plan.home
    shutil.rmtree(folder / ADAPTER_FOLDER, ignore_errors=True)
    Workload(
        place,
        "cli.adapter_sealing",
        lambda common, _descriptor: SealingConfig(
            **common,
            job=job.id,
            key_of=key_of or job.id,
            organisation=job.organisation,
            adapter=job.adapter,
            dataset=job.dataset,
            recipe=msgspec.json.decode(job.recipe, type=Recipe),
            result=str(folder / RESULT),
            destination=str(folder / ADAPTER_FOLDER),
            served=str(folder / SERVED_BLOB),
            change=home.settings.tuning.policy.change,
            signing_key=str(home.keys / "signing.key"),
            keyring=str(home.keyring),
        ),
        secret=True,
    ).end()
    with lineage.of_home(home) as registry:  # a revoked base takes its adapters with it
        made = lineage.of_sealed(folder / ADAPTER_FOLDER, home.trust)
        registry.derive(made, lineage.named(place.plan.manifest))
    tune_record.record(home, job, "sealed", manifest_digest=made.manifest)
    if not place.store.end(job.id, "succeeded", int(time.time())):
        tune_record.record(home, job, "cancelled")  # meanwhile: the last entry holds
        shutil.rmtree(folder / ADAPTER_FOLDER)  # cancelled meanwhile
        (folder / SERVED_BLOB).unlink()
        return "cancelled"
    place.note(job.id, "The adapter is sealed.")
    return "succeeded"


def _attempt(place: Place, job: StoredJob, tell: Tell) -> Status:
    if not (place.folder(job.id) / RESULT).exists():
        with Training(place, job.id) as training:
            return _went(place, training, job, tell)
    return finish(place, job)


def _tidy(folder: Path) -> None:
    for name in (CHECKPOINT, RESULT):
        (folder / name).unlink(missing_ok=True)


def keep(path: Path, blob: bytes) -> None:
    """Put ``blob`` in the place of what was there, durably, whole or not at all."""
    beside = path.with_suffix(".part")
    beside.unlink(missing_ok=True)
    write_durably(beside, blob)
    beside.replace(path)
    sync_folder(path.parent)


def read(path: Path) -> bytes:
    """What stands there; nothing if nothing does."""
    return path.read_bytes() if path.exists() else b""


def out_of_turn() -> BoundaryRefused:
    """The refusal of a frame that was not due."""
    return BoundaryRefused(
        "tune.bad_frame",
        "A frame between a tuning job and its runner cannot be used: it came out of turn.",
        action="Run the same version on both sides.",
    )
