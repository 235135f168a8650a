"""OpenAI's files and fine-tuning API, where the owner offers it.

1. Who asks is identified before anything of a body is read, has the scope ``tuning``, is not
   switched off, and pays a request.
2. A file is kept as it came; it is judged when a job is made of it.
3. A job is made whole or not at all: the request is closed, the owner's limits hold, every line of
   the file can be used, the floors are met. Then it waits for ``strongroom tune run``.
4. That a job was made or cancelled stands in the record (``tune.recording``). A job that cannot be
   recorded is not made.
5. Each organisation sees its own files and jobs; another's are not there.

Nothing here reaches the keeper: text becomes token ids here, and weights are elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from strongroom.errors import RequestRefused, StrongroomError
from strongroom.gateway import multipart
from strongroom.gateway.fine_tuning_shapes import (
    FineTuningRequest,
    checkpoint_object,
    event_object,
    file_object,
    job_object,
    page,
    read_request,
    wish_of,
)
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller
from strongroom.gateway.ids import new_id
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.strict_json import bad_request
from strongroom.gateway.training_text import dataset_of
from strongroom.gateway.tuning_desk import Admitted, Handler, aside, by_method, there
from strongroom.store.tuning import OPEN, StoredEvent, StoredFile, StoredJob, TuningStore
from strongroom.tune.dataset import DatasetRefused
from strongroom.tune.ledger import require_budget
from strongroom.tune.making import make_job
from strongroom.tune.policy import Tuning, grant
from strongroom.tune.recording import Change, changed

FILES: Final = "/v1/files"
JOBS: Final = "/v1/fine_tuning/jobs"

_MOST_FILES: Final = 64
_MOST_BUSY: Final = 8
_SHOWN_LINES: Final = 20
_PAGE: Final = 20
_MOST_PAGE: Final = 100
_SECONDS: Final = 120.0
_JOB_BYTES: Final = 2**20

_T = TypeVar("_T")


class FineTuningApi:
    """Handlers of both paths.

    Args:
        desk: who asks, and what they may spend.
        model: the base.
        store: files and jobs; None where the owner does not offer tuning.
        tuning: the owner's limits.
    """

    def __init__(
        self, desk: Desk, model: ServedModel, store: TuningStore | None, tuning: Tuning
    ) -> None:
        self._desk, self._model = desk, model
        self._tuning = tuning
        self._opened = store
        self._busy: set[str] = set()
        self._making = asyncio.Lock()

    @property
    def offered(self) -> bool:
        """Whether files and jobs are taken."""
        return self._opened is not None

    def handler(self, method: str, path: str) -> Handler | None:
        """What answers this method at this path; None if nothing does, whatever the method.

        Raises:
            Refusal: 405.
        """
        if path == FILES:
            return by_method(method, GET=self._list_files, POST=self._upload)
        if path == JOBS:
            return by_method(method, GET=self._list_jobs, POST=self._create)
        if path.startswith(f"{FILES}/"):
            file_id, _, what = path.removeprefix(f"{FILES}/").partition("/")
            if what == "content":
                return by_method(method, GET=partial(self._content, file_id))
            if not what:
                show, delete = partial(self._file, file_id), partial(self._delete, file_id)
                return by_method(method, GET=show, DELETE=delete)
        if path.startswith(f"{JOBS}/"):
            job_id, _, what = path.removeprefix(f"{JOBS}/").partition("/")
            if what == "cancel":
                return by_method(method, POST=partial(self._cancel, job_id))
            shown = {"": self._job, "events": self._events, "checkpoints": self._checkpoints}
            if what in shown:
                return by_method(method, GET=partial(shown[what], job_id))
        return None

    async def _upload(self, request: Request) -> None:
        """``POST /v1/files``."""
        async with self._admitted(request) as caller, self._alone(caller):
            limit = self._tuning.most_file_bytes
            body = await request.body(limit + _JOB_BYTES // 16, _SECONDS, multipart.KIND)
            kind = request.header(b"content-type") or ""
            form = multipart.parse(kind, body, ("file", "purpose"))
            file, purpose = form.get("file"), form.get("purpose")
            if purpose is None or purpose.content != b"fine-tune" or purpose.filename is not None:
                raise bad_request("`purpose` is not `fine-tune`", "purpose")
            if file is None or not file.filename:
                raise bad_request("`file` is not a file", "file")
            if len(file.content) > limit:
                raise bad_request(f"`file` has more than {limit} bytes", "file")
            store = self._store()
            if len(await aside(store.files, caller.organisation)) >= _MOST_FILES:
                raise _too_many("files", _MOST_FILES, "Delete some.")
            name = "".join(each for each in file.filename if each.isprintable())[:255]
            kept = StoredFile(
                new_id("file-"), caller.organisation, name, len(file.content), int(time.time())
            )
            await aside(store.add_file, kept, file.content)
            await request.answer(file_object(kept))

    async def _list_files(self, request: Request) -> None:
        """``GET /v1/files``."""
        async with self._admitted(request) as caller:
            found = await aside(self._store().files, caller.organisation)
            await request.answer(page(list(map(file_object, found)), *_asked_page(request)))

    async def _file(self, file_id: str, request: Request) -> None:
        """``GET /v1/files/{id}``."""
        async with self._admitted(request) as caller:
            found = await aside(self._store().file, caller.organisation, file_id)
            await request.answer(file_object(there(found, "file")))

    async def _content(self, file_id: str, request: Request) -> None:
        """``GET /v1/files/{id}/content``."""
        async with self._admitted(request) as caller:
            found = await aside(self._store().content, caller.organisation, file_id)
            content = there(found, "file")
            kind = (b"content-type", b"application/octet-stream")
            await request.answer_bytes(content, 200, (kind,))

    async def _delete(self, file_id: str, request: Request) -> None:
        """``DELETE /v1/files/{id}``."""
        async with self._admitted(request) as caller:
            gone = await aside(self._store().delete_file, caller.organisation, file_id)
            there(gone or None, "file")
            await request.answer({"id": file_id, "object": "file", "deleted": True})

    async def _create(self, request: Request) -> None:
        """``POST /v1/fine_tuning/jobs``."""
        async with self._admitted(request) as caller, self._alone(caller):
            wanted = read_request(await request.body(_JOB_BYTES, _SECONDS))
            self._model.require(wanted.model)
            store, organisation = self._store(), caller.organisation
            content = await aside(store.content, organisation, wanted.training_file)
            raw = there(content, "file", "training_file")
            open_jobs = [job for job in await aside(store.jobs, organisation) if job.status in OPEN]
            if len(open_jobs) >= self._tuning.most_open_jobs:
                most = self._tuning.most_open_jobs
                raise _too_many("jobs that wait or run", most, "Wait for one to end.")
            async with self._making:  # it computes: one at a time, whoever asks
                job, dataset = await aside(self._make, wanted, raw, organisation)
            await self._record(job, "created", caller)
            try:
                await aside(self._keep, job, dataset)
            except StrongroomError as error:
                await self._record(job, "failed", caller, code=error.code)
                raise
            words = f"Created: {job.examples} conversations, {job.steps} steps."
            await aside(store.add_event, StoredEvent(job.id, 0, job.created_at, "info", words))
            await request.answer(job_object(job))

    async def _record(
        self, job: StoredJob, change: Change, caller: Caller, *, code: str = ""
    ) -> None:
        """Step 4; refuses with 503."""
        desk = self._desk
        entry = changed(job, change, desk.digest, key_id=caller.key_id, code=code)
        try:
            await desk.record.append(entry)
        except StrongroomError as error:
            raise desk.record_failed(error) from None

    def _keep(self, job: StoredJob, dataset: bytes) -> None:
        """Keep a job if the privacy that its organisation has left allows it; refuses with 400."""
        allow = partial(require_budget, self._tuning.policy.dp, job)
        try:
            self._store().add_job(job, dataset, allow)
        except RequestRefused as refused:
            raise _as_refusal(refused, refused.message, None) from None

    def _make(
        self, wanted: FineTuningRequest, raw: bytes, organisation: str
    ) -> tuple[StoredJob, bytes]:
        """Step 3. Refuses with 400."""
        model, policy = self._model, self._tuning.policy.within(self._model.card.context_length)
        try:
            dataset = dataset_of(raw, model.template, model.tokenizer, policy)
            wish = wish_of(wanted, len(dataset.examples), policy)
            recipe = grant(wish, policy)
            return make_job(
                dataset,
                recipe,
                job_id=new_id("ftjob-"),
                organisation=organisation,
                name=wanted.suffix or "adapter",
                base=(model.name, model.card.manifest_digest),
                training_file=wanted.training_file,
                metadata=msgspec.json.encode(wanted.metadata or {}).decode(),
                dp=policy.dp,
                epsilon=wish.privacy_epsilon,
            )
        except DatasetRefused as refused:
            shown = "; ".join(map(str, refused.lines[:_SHOWN_LINES]))
            left = len(refused.lines) - _SHOWN_LINES
            more = f"; and {left} more" if left > 0 else ""
            words = f"{len(refused.lines)} lines cannot be used: {shown}{more}."
            raise _as_refusal(refused, words, "training_file") from None
        except RequestRefused as refused:
            if isinstance(refused, Refusal):
                raise
            raise _as_refusal(refused, refused.message, None) from None

    async def _list_jobs(self, request: Request) -> None:
        """``GET /v1/fine_tuning/jobs``."""
        async with self._admitted(request) as caller:
            found = await aside(self._store().jobs, caller.organisation)
            await request.answer(page(list(map(job_object, found)), *_asked_page(request)))

    async def _job(self, job_id: str, request: Request) -> None:
        """``GET /v1/fine_tuning/jobs/{id}``."""
        async with self._admitted(request) as caller:
            await request.answer(job_object(await self._own(caller, job_id)))

    async def _events(self, job_id: str, request: Request) -> None:
        """``GET /v1/fine_tuning/jobs/{id}/events``."""
        async with self._admitted(request) as caller:
            await self._own(caller, job_id)
            found = await aside(self._store().events, job_id)
            await request.answer(page(list(map(event_object, found)), *_asked_page(request)))

    async def _checkpoints(self, job_id: str, request: Request) -> None:
        """``GET /v1/fine_tuning/jobs/{id}/checkpoints``."""
        async with self._admitted(request) as caller:
            await self._own(caller, job_id)
            found = await aside(self._store().checkpoints, job_id)
            await request.answer(page(list(map(checkpoint_object, found)), *_asked_page(request)))

    async def _cancel(self, job_id: str, request: Request) -> None:
        """``POST /v1/fine_tuning/jobs/{id}/cancel``."""
        async with self._admitted(request) as caller:
            store, job = self._store(), await self._own(caller, job_id)
            now = int(time.time())
            if not await aside(partial(store.end, job_id, "cancelled", now)):
                raise Refusal(
                    "gateway.tuning_over",
                    f"The job is over: {job.status}.",
                    action="Only a job that waits or runs can be cancelled.",
                )
            await aside(store.add_event, StoredEvent(job_id, 0, now, "info", "Cancelled."))
            await self._record(job, "cancelled", caller)
            await request.answer(job_object(await self._own(caller, job_id)))

    async def _own(self, caller: Caller, job_id: str) -> StoredJob:
        """Step 5."""
        found = await aside(self._store().job, job_id)
        own = found is not None and found.organisation == caller.organisation
        return there(found if own else None, "job")

    def _store(self) -> TuningStore:
        if self._opened is None:
            raise Refusal(
                "gateway.tuning_off",
                "Tuning is not offered here.",
                action="Ask whoever runs this service.",
                status=404,
            )
        return self._opened

    @asynccontextmanager
    async def _alone(self, caller: Caller) -> AsyncIterator[None]:
        """What holds much memory is done once at a time for an organisation, and for a few.

        Raises:
            Refusal: 429 ``gateway.tuning_busy``.
        """
        name = caller.organisation
        if name in self._busy or len(self._busy) >= _MOST_BUSY:
            raise Refusal(
                "gateway.tuning_busy",
                "Another file or job is being taken in.",
                action="Try again in a moment.",
                status=429,
                headers=((b"retry-after", b"1"),),
            )
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    def _admitted(self, request: Request) -> Admitted:
        return Admitted(self._desk, request, self._store)


def _asked_page(request: Request) -> tuple[str, int]:
    """``after`` and ``limit`` of the query; nothing else is accepted."""
    after, limit = "", _PAGE
    try:
        asked = parse_qsl(request.query, strict_parsing=True, max_num_fields=8)
    except ValueError:
        if request.query:
            raise bad_request("The query cannot be read", None) from None
        return after, limit
    for name, value in asked:
        if name == "after":
            after = value
        elif name == "limit" and value.isascii() and value.isdigit():
            limit = min(max(int(value[:6]), 1), _MOST_PAGE)
        else:
            raise bad_request(f"The query has the unknown field `{name[:64]}`", name[:64])
    return after, limit


def _too_many(what: str, most: int, action: str) -> Refusal:
    return Refusal(
        "gateway.tuning_too_many",
        f"There are {most} {what} already, and no more are kept for one organisation.",
        action=action,
        status=429,
    )


def _as_refusal(refused: RequestRefused, words: str, param: str | None) -> Refusal:
    return Refusal(refused.code, words, action=refused.action, param=param)
