"""Holds a session that a customer steers: its process, and what is asked of it, in order.

1. Take the session's lock; start key release and the training process, as for a job.
2. Send the last checkpoint, if a runner before this one left any.
3. Answer the requests that the gateway keeps in the store, lowest number first. A checkpoint is
   kept every so many seconds between two of them.
4. An adapter that is saved becomes a job of its own that is done: sealed as any job's is, and from
   then on served by its name. The session goes on.
5. A session of which nothing was asked for ``idle_seconds`` is over, and its checkpoint is removed.
   A signal puts it back, with a checkpoint, for the next runner. Any other end leaves the last
   checkpoint: what came after it is lost, and the number of steps in the next answer says so.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import msgspec

from strongroom.cli import tune_record
from strongroom.cli.tune_running import (
    CHECKPOINT,
    OWN_FAULTS,
    RESULT,
    Training,
    finish,
    keep,
    out_of_turn,
    read,
    settle,
)
from strongroom.cli.tune_workload import Place, locked
from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.gateway.ids import new_id
from strongroom.store.sessions import StoredRequest, StoredSession
from strongroom.store.tuning import StoredJob
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
    ToRunner,
    ToTrainer,
    Update,
    count_examples,
)
from strongroom.tune.line import HungUp
from strongroom.tune.making import adapter_name
from strongroom.tune.policy import Recipe
from strongroom.tune.reasons import refuse

MOST_SAVES: Final = 64
"""Adapters of one session."""

_LOOK_MILLISECONDS: Final = 50


class _Answered(Exception):
    """The training process refused what was asked of it, and goes on."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.code = refused.code
        self.words = f"{refused.message} {refused.action}"


class Holding(Training):
    """A session's process behind its walls: steps 2 to 4."""

    def hold(self, session: StoredSession) -> str:
        """Answer until the session is over; the reason, empty where it goes on later.

        Raises:
            StrongroomError: why the process ended.
        """
        try:
            return self._hold(session)
        except HungUp:
            self._workload.end()  # raises, unless a signal reached the process itself
            return ""

    def _hold(self, session: StoredSession) -> str:
        place, tuning = self._place, self._place.plan.home.settings.tuning
        self._checkpoint = place.folder(session.id) / CHECKPOINT
        recipe = msgspec.json.decode(session.recipe, type=Recipe)
        sealed = read(self._checkpoint)
        self._line.send(Open(recipe, tuning.policy, len(sealed)), sealed)
        kept, reason, self._stepped = time.monotonic(), "", False
        while not place.asked.stop:
            waits = place.store.next_request(session.id)
            if waits is not None:
                self._answer(session, *waits)
            elif reason := idle(session, place):
                break
            elif self._line.waiting(_LOOK_MILLISECONDS):
                self._take(self._line.receive())
            if self._stepped and time.monotonic() - kept >= tuning.checkpoint_seconds:
                self._ask(Keep())
                kept, self._stepped = time.monotonic(), False
        if not reason:
            self._ask(Keep())
        self._workload.end()
        return reason

    def _answer(self, session: StoredSession, request: StoredRequest, payload: bytes) -> None:
        """Step 3."""
        store = self._place.store
        try:
            result = msgspec.json.encode(self._done(session, request, payload))
        except _Answered as refused:
            store.answer_request(request.id, b"", error=refused.code, reason=refused.words)
        else:
            store.answer_request(request.id, result)

    def _done(
        self, session: StoredSession, request: StoredRequest, payload: bytes
    ) -> dict[str, object]:
        if request.kind == "learn":
            learned = self._ask(Learn(len(payload)), payload)
            if isinstance(learned, Learned):
                return {"loss": learned.loss, "count": count_examples(payload)}
        elif request.kind == "update":
            progress = self._ask(Update(msgspec.json.decode(payload, type=float)))
            if isinstance(progress, Progress):
                self._stepped = True
                self._place.store.session_stepped(session.id, progress.step)
                return {"step": progress.step}
        elif request.kind == "save":
            return {"adapter": self._save(session, payload.decode())}
        raise out_of_turn()

    def _save(self, session: StoredSession, name: str) -> str:
        """Step 4; the name of the adapter."""
        store, job_id = self._place.store, new_id("ftjob-")
        origin = msgspec.json.encode({"session": session.id}).decode()
        if sum(job.metadata == origin for job in store.jobs(session.organisation)) >= MOST_SAVES:
            raise _refused(refuse("tune.saves_spent", limit=MOST_SAVES))
        saved = self._ask(Save(job_id))
        if not isinstance(saved, Saved):
            raise out_of_turn()
        blob = self._line.blob(saved.size)
        job = StoredJob(
            id=job_id,
            organisation=session.organisation,
            model=session.model,
            manifest=session.manifest,
            adapter=adapter_name(name, job_id),
            training_file="",
            dataset=saved.dataset,
            examples=saved.examples,
            tokens=saved.tokens,
            recipe=msgspec.json.encode(saved.recipe).decode(),
            steps=saved.recipe.steps,
            created_at=int(time.time()),
            metadata=origin,
        )
        place = self._place
        with locked(place, job_id):
            tune_record.keep(place.plan.home, store, job, b"", by=session.id)
            store.begin(job_id, job.created_at)
            store.advance(job_id, saved.recipe.steps, None)
            keep(place.folder(job_id) / RESULT, blob)
            became = settle(place, job, lambda: finish(place, job, key_of=session.id))
        if became != "succeeded":
            ended = store.job(job_id) or job
            raise _refused(ConfigurationRefused(ended.error, ended.reason, action=""))
        return job.adapter

    def _ask(self, frame: ToTrainer, blob: bytes = b"") -> ToRunner:
        """The answer to a frame; a checkpoint is kept on its way.

        Raises:
            _Answered: it was refused.
            HungUp: there is none.
        """
        self._line.send(frame, blob)
        while True:
            answer = self._line.receive()
            if isinstance(answer, Refused):
                raise _Answered(answer)
            if not isinstance(answer, Checkpoint):
                return answer
            self._take(answer)
            if isinstance(frame, Keep):
                return answer

    def _take(self, frame: ToRunner) -> None:
        """A checkpoint comes unasked where the process is about to end."""
        if not isinstance(frame, Checkpoint):
            raise out_of_turn()
        keep(self._checkpoint, self._line.blob(frame.size))


def next_session(place: Place) -> StoredSession | None:
    """The oldest session of this base that has no runner; ends those that nobody uses."""
    if not place.plan.home.settings.tuning.primitives:
        return None
    for session in place.store.open_sessions(place.plan.manifest.digest):
        with suppress(ConfigurationRefused), locked(place, session.id):
            if reason := idle(session, place):
                _end(place, session, reason, "")
            else:
                return session
    return None


def run_session(place: Place, session: StoredSession) -> None:
    """Steps 1 to 5; nothing is raised for what is the session's own fault.

    Raises:
        ConfigurationRefused: ``tune.job_runs``: another runner holds it.
        StrongroomError: why it waits for another runner.
    """
    with locked(place, session.id):  # (1)
        if not place.store.session_is(session.id, "live"):
            return
        reason = code = ""
        try:
            with Holding(place, session.id) as holding:
                reason = holding.hold(session)
        except StrongroomError as error:
            if not error.code.startswith(OWN_FAULTS):
                raise
            reason, code = error.message, error.code
        finally:
            if reason:
                _end(place, session, reason, code)  # (5)
            else:
                place.store.session_is(session.id, "waiting")


def idle(session: StoredSession, place: Place) -> str:
    """Why a session is over for want of use; empty while it is not."""
    limit = place.plan.home.settings.tuning.idle_seconds
    found = place.store.session(session.id)
    if found is not None and time.time() - found.used_at < limit:
        return ""
    return f"nothing was asked of it for {limit:g} seconds."


def _end(place: Place, session: StoredSession, reason: str, code: str) -> None:
    ended = refuse("tune.session_over", why=reason)
    if place.store.session_is(session.id, "over", str(ended.message)):
        over = place.store.session(session.id) or session
        tune_record.session_over(place.plan.home, over, code)
    (place.folder(session.id) / CHECKPOINT).unlink(missing_ok=True)


def _refused(error: StrongroomError) -> _Answered:
    return _Answered(Refused(error.code, error.message, error.action))
