"""The routes of Tinker's client, where the owner grants them: ``[tuning] primitives = true``.

1. Its key comes as ``X-API-Key: tml-KEY``, because that client takes no other: it is read as
   ``Authorization: Bearer KEY``, on these paths only. Who asks is identified before anything of a
   body is read, has the scope ``tuning``, is not switched off, and pays a request.
2. A session belongs to the organisation that began it; another's is not there.
3. What is asked is judged here as far as it can be without weights, and then waits in the store for
   the runner that holds the session, in the order of the client's own numbers. The same number
   asked again is the same request: that client repeats what it got no answer to.
4. A sample does not go to the session but to the keeper, as every request to generate does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from strongroom.errors import RequestRefused, StrongroomError
from strongroom.gateway.adapters import Adapters
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller
from strongroom.gateway.ids import new_id
from strongroom.gateway.openai_api import OpenAIApi
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.primitives import futures, shapes, wire
from strongroom.gateway.primitives.conversations import Conversations
from strongroom.gateway.primitives.sampling import KEPT_SECONDS, SampleAnswer, sample_generation
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.tuning_desk import Admitted, Handler, aside, by_method, there
from strongroom.ledger.entries import SessionChanged
from strongroom.store.sessions import RequestKind, StoredRequest, StoredSession
from strongroom.store.tuning import TuningStore
from strongroom.tune.frames import pack_examples
from strongroom.tune.policy import Policy, Tuning
from strongroom.tune.recording import session_changed

PREFIX: Final = "/api/v1/"
PROTOBUF: Final = "application/x-protobuf"

_KEY_PREFIX: Final = b"tml-"
_SECONDS: Final = 120.0
_BODY_BYTES: Final = 2**20
_MOST_WAITING: Final = 16
_LOSS: Final = "cross_entropy"
_T = TypeVar("_T")


class PrimitivesApi:
    """Handlers of all paths below ``PREFIX``.

    Args:
        desk: who asks, and what they may spend.
        model: the base.
        openai: generates.
        adapters: whose adapters there are.
        store: sessions and requests; None where the owner does not grant this.
        tuning: the owner's limits.
    """

    def __init__(
        self,
        desk: Desk,
        model: ServedModel,
        openai: OpenAIApi,
        adapters: Adapters,
        store: TuningStore | None,
        tuning: Tuning,
    ) -> None:
        self._desk, self._model, self._tuning = desk, model, tuning
        self._openai, self._adapters = openai, adapters
        self._opened = store if tuning.primitives else None
        self._made: Conversations | None = None
        self._posts: dict[str, Handler] = {
            "client/config": self._config,
            "client/dynamic_config": partial(self._say, {}),
            "session_heartbeat": partial(self._say, {"type": "session_heartbeat"}),
            "telemetry": partial(self._say, {"status": "accepted"}),
            "create_session": self._create_session,
            "create_model": self._create_model,
            "get_info": self._info,
            "forward_backward": self._learn,
            "optim_step": self._update,
            "save_weights": self._save,
            "save_weights_for_sampler": self._save,
            "retrieve_future": self._future,
            "create_sampling_session": self._create_sampler,
            "asample": self._sample,
        }

    def handler(self, request: Request) -> tuple[Handler, bool] | None:
        """What answers this request, and whether it asks the model; None if nothing does.

        Raises:
            Refusal: 405.
        """
        _bear(request)
        name = request.path.removeprefix(PREFIX)
        if name in self._posts:
            return by_method(request.method, POST=self._posts[name]), name == "asample"
        if name == "get_server_capabilities":
            return by_method(request.method, GET=self._capabilities), False
        if name.startswith("samplers/"):
            sampler = partial(self._sampler, name.removeprefix("samplers/"))
            return by_method(request.method, GET=sampler), False
        return None

    async def _say(self, value: dict[str, Any], request: Request) -> None:
        """Routes that that client needs and that do nothing here: what was sent is not read."""
        async with self._admitted(request):
            await request.answer(value)

    async def _config(self, request: Request) -> None:
        async with self._admitted(request):
            shapes.read(await self._body(request), shapes.ClientRequest)
            policy = self._tuning.policy
            await request.answer(
                {
                    "parallel_fwdbwd_chunks": False,
                    "fwdbwd_max_chunk_len": policy.most_batch,
                    "fwdbwd_max_chunk_bytes_count": self._tuning.most_file_bytes // 2,
                    "use_pyqwest_transport": False,
                }
            )

    async def _capabilities(self, request: Request) -> None:
        async with self._admitted(request):
            entry = {
                "model_name": self._model.name,
                "max_context_length": self._policy.most_tokens,
                "trainable": True,
                "sampleable": True,
            }
            await request.answer({"supported_models": [entry]})

    async def _create_session(self, request: Request) -> None:
        """Names what that client calls a session; ours begins with ``create_model``."""
        async with self._admitted(request):
            shapes.read(await self._body(request), shapes.SessionRequest)
            await request.answer({"type": "create_session", "session_id": new_id("session-")})

    async def _create_model(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.ModelRequest)
            self._model.require(asked.base_model)
            policy, now = self._policy, int(time.time())
            if policy.dp is not None:
                raise Refusal(
                    "gateway.primitives_not_private",
                    "Training is private here, and a session's batches are its customer's own.",
                    action="Ask for a fine-tuning job instead.",
                )
            recipe = _judged(shapes.recipe_of, asked, policy)
            session = StoredSession(
                id=_session_id(caller.organisation, asked.session_id, asked.model_seq_id),
                organisation=caller.organisation,
                model=self._model.name,
                manifest=self._model.card.manifest_digest,
                recipe=msgspec.json.encode(recipe).decode(),
                created_at=now,
                used_at=now,
            )
            store = self._store()
            await aside(store.forget_requests, now - KEPT_SECONDS)
            if await aside(store.session, session.id) is None:  # that client asks again
                await self._begin(store, session, caller)
            named = {"request_id": _request_id(session.id, 0), "model_id": session.id}
            await request.answer(named)

    async def _begin(self, store: TuningStore, session: StoredSession, caller: Caller) -> None:
        """Recorded before it is kept; refuses with 503 and 429."""
        await self._record(session_changed(session, "began", key_id=caller.key_id))
        if not await aside(store.add_session, session, self._tuning.most_open_jobs):
            refusal = _busy("sessions that are not over", self._tuning.most_open_jobs, 30)
            over = session_changed(session, "over", key_id=caller.key_id, code=refusal.code)
            await self._record(over)
            raise refusal

    async def _record(self, entry: SessionChanged) -> None:
        try:
            await self._desk.record.append(entry)
        except StrongroomError as error:
            raise self._desk.record_failed(error) from None

    async def _info(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.InfoRequest)
            session = await self._own(caller.organisation, asked.model_id)
            rank = msgspec.json.decode(session.recipe)["rank"]
            name = {"model_name": session.model}
            more = {"type": "get_info", "model_id": session.id, "is_lora": True, "lora_rank": rank}
            await request.answer({"model_data": {"arch": "llama", **name}, **more, **name})

    async def _learn(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            body = await request.body(self._tuning.most_file_bytes, _SECONDS, PROTOBUF)
            policy = self._policy
            batch = await aside(wire.read_batch, body, policy.most_batch)
            session = await self._own(caller.organisation, batch.model_id)
            if batch.loss != _LOSS or batch.forward_only:
                name = "forward_only" if batch.forward_only else "loss_fn"
                why = (
                    "cross_entropy with its gradient is served; others show or weigh single tokens"
                )
                raise shapes.never(name, why)
            examples = await aside(self._examples, batch, policy)
            await self._ask(request, session, batch.number, "learn", pack_examples(examples))

    def _examples(self, batch: wire.WireBatch, policy: Policy) -> tuple[Any, ...]:
        """Rule 3."""
        if not batch.data:
            raise _bad_datum(0, "There is no datum.")
        read, found = self._conversations(), []
        for number, datum in enumerate(batch.data):
            try:
                found.append(read.example(datum, policy))
            except Refusal as refusal:
                raise _bad_datum(number, refusal.message) from None
        return tuple(found)

    async def _update(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.StepRequest)
            session = await self._own(caller.organisation, asked.model_id)
            rate = msgspec.json.encode(shapes.rate_of(asked))
            await self._ask(request, session, asked.seq_id, "update", rate)

    async def _save(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.SaveRequest)
            session = await self._own(caller.organisation, asked.model_id)
            name = (asked.path or "session").encode()
            await self._ask(request, session, asked.seq_id, "save", name)

    async def _ask(
        self, request: Request, session: StoredSession, number: int, kind: RequestKind, what: bytes
    ) -> None:
        """Rule 3: put it into the store and say what it is called."""
        if session.status == "over":
            raise Refusal(
                "tune.session_over", session.reason, action="Begin another one.", status=404
            )
        kept = StoredRequest(
            id=_request_id(session.id, number),
            organisation=session.organisation,
            session=session.id,
            number=number,
            kind=kind,
            at=int(time.time()),
        )
        if not await aside(self._store().add_request, kept, what, _MOST_WAITING):
            raise _busy("requests of this session that wait", _MOST_WAITING, 1)
        await request.answer({"request_id": kept.id, "model_id": session.id})

    async def _future(self, request: Request) -> None:
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.FutureRequest)
            name, organisation = asked.request_id, caller.organisation
            session_id, _, number = name.rpartition("-")
            look: Callable[[], futures.Result | None]
            if number == "0" and not name.startswith("sample-"):
                look = partial(self._look_session, organisation, session_id)
            else:
                look = partial(self._look, organisation, name)
            found = await futures.waited(look)
            if found is None:
                session = await aside(self._store().session, session_id)
                live = session is not None and session.status == "live"
                await request.answer(futures.again(name, live=live))
            elif isinstance(found.value, bytes):
                kind = (b"content-type", PROTOBUF.encode())
                await request.answer_bytes(found.value, 200, (kind,))
            else:
                await request.answer(found.value)

    def _look_session(self, organisation: str, session_id: str) -> futures.Result | None:
        session = self._owned(organisation, session_id)
        self._store().session_used(session.id, int(time.time()))  # who waits for a runner is there
        return futures.of_session(session)

    def _look(self, organisation: str, request_id: str) -> futures.Result | None:
        store = self._store()
        found = there(store.request(organisation, request_id), "request")
        session = store.session(found.session) if found.status == "waiting" else None
        if session is not None and session.status == "over":  # over as it was being asked
            return futures.of_session(session)
        return futures.of_request(found, self._model.name)

    async def _create_sampler(self, request: Request) -> None:
        """A sampling session is called as the model that it samples from: nothing is kept of it."""
        async with self._admitted(request) as caller:
            asked = shapes.read(await self._body(request), shapes.SamplerRequest)
            name = asked.base_model or ""
            if asked.model_path is not None:
                name = f"{self._model.name}:{asked.model_path.rpartition('/')[2]}"
            await self._adapters.find(caller.organisation, name)
            said = {"type": "create_sampling_session", "sampling_session_id": name}
            await request.answer(said)

    async def _sampler(self, name: str, request: Request) -> None:
        async with self._admitted(request) as caller:
            await self._adapters.find(caller.organisation, name)
            await request.answer({"sampler_id": name, "base_model": self._model.name})

    async def _sample(self, request: Request) -> None:
        """Rule 4."""
        self._store()
        meaning = partial(sample_generation, self._conversations())
        answers = partial(SampleAnswer, self._store(), self._model.tokenizer)
        await self._openai.generate(request, meaning, "chat", answers)

    @property
    def _policy(self) -> Policy:
        return self._tuning.policy.within(self._model.card.context_length)

    def _conversations(self) -> Conversations:
        if self._made is None:
            self._made = Conversations(self._model.template, self._model.tokenizer)
        return self._made

    async def _body(self, request: Request) -> bytes:
        return await request.body(_BODY_BYTES, _SECONDS)

    async def _own(self, organisation: str, session_id: str) -> StoredSession:
        return await aside(self._owned, organisation, session_id)

    def _owned(self, organisation: str, session_id: str) -> StoredSession:
        """Rule 2."""
        found = self._store().session(session_id)
        own = found is not None and found.organisation == organisation
        return there(found if own else None, "session")

    def _store(self) -> TuningStore:
        if self._opened is None:
            raise Refusal(
                "gateway.primitives_off",
                "Training step by step is not granted here.",
                action="Ask whoever runs this service.",
                status=404,
            )
        return self._opened

    def _admitted(self, request: Request) -> Admitted:
        return Admitted(self._desk, request, self._store)


def _bear(request: Request) -> None:
    """Rule 1."""
    key = request.headers.get(b"x-api-key")
    if key is not None and key.startswith(_KEY_PREFIX):
        bearer = b"Bearer " + key.removeprefix(_KEY_PREFIX)
        request.headers.setdefault(b"authorization", bearer)


def _session_id(organisation: str, session: str, number: int) -> str:
    """The same for the same: that client repeats a request that it got no answer to."""
    named = msgspec.json.encode((organisation, session, number))
    return "tune-" + hashlib.sha256(b"strongroom session\0" + named).hexdigest()[:24]


def _request_id(session: str, number: int) -> str:
    return f"{session}-{number}"


def _judged(call: Callable[..., _T], *arguments: Any) -> _T:
    """What is refused without weights, as 400."""
    try:
        return call(*arguments)
    except Refusal:
        raise
    except RequestRefused as refused:
        raise Refusal(refused.code, refused.message, action=refused.action) from None


def _bad_datum(number: int, why: str) -> Refusal:
    return Refusal(
        "gateway.not_a_conversation",
        f"Datum {number} is not learnt from, nor any other of this request. {why}",
        action="Encode messages with the model's own template and tokenizer; see docs/tuning.md.",
        param=f"data[{number}]",
    )


def _busy(what: str, most: int, seconds: int) -> Refusal:
    return Refusal(
        "gateway.sessions_busy",
        f"There are {most} {what} already.",
        action="Wait for one to end.",
        status=429,
        headers=((b"retry-after", b"%d" % seconds),),
    )
