"""The ASGI application: an allow-list of routes, and one place where refusals become responses."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.gateway.adapters import Adapters
from strongroom.gateway.embeddings_api import EmbeddingsApi
from strongroom.gateway.fine_tuning import FineTuningApi
from strongroom.gateway.http import (
    JSON_TYPE,
    PROBLEM_TYPE,
    Receive,
    Request,
    Scope,
    Send,
)
from strongroom.gateway.inference_protocol import InferenceProtocol
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.line import ClientGone
from strongroom.gateway.openai_api import OpenAIApi
from strongroom.gateway.openapi import document
from strongroom.gateway.pacing import Pacing
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.primitives.api import PREFIX, PrimitivesApi
from strongroom.gateway.refusals import Refusal, encode_openai, encode_problem
from strongroom.gateway.served_model import ServedModel
from strongroom.store.tuning import TuningStore
from strongroom.tune.policy import Tuning

Handler = Callable[[Request], Awaitable[None]]

_log: Final = logging.getLogger("strongroom.gateway")


class Gateway:
    """Answers HTTP requests for one model."""

    def __init__(
        self,
        desk: Desk,
        model: ServedModel,
        keeper: KeeperClient,
        pacing: Pacing,
        tuning: FineTuningApi,
        adapters: Adapters,
        jobs: TuningStore | None,
        limits: Tuning,
    ) -> None:
        self._desk = desk
        self._keeper = keeper
        self._tuning = tuning
        openai = OpenAIApi(desk, model, keeper, pacing, adapters)
        inference = InferenceProtocol(desk, model, keeper)
        at = f"/v2/models/{model.name}"
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/chat/completions": ("POST", openai.chat),
            "/v1/completions": ("POST", openai.complete),
            "/v1/embeddings": ("POST", EmbeddingsApi(desk, model, keeper, pacing).embed),
            "/v1/models": ("GET", openai.models),
            "/v2": ("GET", inference.server),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready),
            at: ("GET", inference.metadata),
            f"{at}/ready": ("GET", inference.ready),
            f"{at}/infer": ("POST", inference.infer),
            "/healthz": ("GET", self._live),
            "/readyz": ("GET", self._ready),
            "/openapi.json": ("GET", self._describe),
        }
        self._openai = openai
        self._primitives = PrimitivesApi(desk, model, openai, adapters, jobs, limits)
        self._document = document(
            model.name, model.schemas, tunes=tuning.offered, adapters=adapters.served
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        try:
            handler, asks = self._handler(request)
            if asks:
                await handler(request)
            else:
                await self._tell(handler, request)
        except ClientGone:
            return
        except Refusal as refusal:
            await self._refuse(request, refusal)
        except StrongroomError as error:
            _log.error("request failed: %s", error.code)
            await self._refuse(request, _unavailable())
        except Exception as error:
            # Its text could quote what a caller sent, so only its kind is logged.
            _log.error("request failed: %s", type(error).__name__)
            await self._refuse(request, _internal())

    async def _tell(self, handler: Handler, request: Request) -> None:
        """What asks the model for nothing has no passage that would count it."""
        began = time.perf_counter()
        await handler(request)
        watched = self._desk.observer.request("other")
        watched.began = began
        watched.finished("served", 0, 0)

    async def _refuse(self, request: Request, refusal: Refusal) -> None:
        if not request.accounted:
            self._desk.turned_away(request, refusal)
        if not request.started:
            await _answer(request, refusal)
        elif request.events:
            await request.event(refusal.openai())
            await request.end_events()
        # Otherwise uvicorn cuts the connection: the caller sees an incomplete response.

    def _handler(self, request: Request) -> tuple[Handler, bool]:
        """What answers, and whether it asks the model for something."""
        path = request.path
        if path.startswith(("/v1/files", "/v1/fine_tuning/")):
            tuning = self._tuning.handler(request.method, path)
            if tuning is None:
                raise _no_route()
            return tuning, False
        if path.startswith(PREFIX):
            primitive = self._primitives.handler(request)
            if primitive is None:
                raise _no_route()
            return primitive
        if path.startswith("/v1/models/"):
            name = path.removeprefix("/v1/models/")
            method, handler = "GET", _naming(self._openai, name)
        else:
            found = self._routes.get(path)
            if found is None:
                raise _no_route()
            method, handler = found
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            raise _wrong_method(method)
        return handler, method == "POST"

    async def _describe(self, request: Request) -> None:
        await request.answer_bytes(self._document, 200, (JSON_TYPE,))

    async def _live(self, request: Request) -> None:
        await request.answer({"live": True})

    async def _ready(self, request: Request) -> None:
        facts = {
            "keeper": not self._keeper.closed.is_set(),
            "record": self._desk.failure is None,
            "store": self._desk.switching.sees,
        }
        ready = all(facts.values())
        await request.answer({"ready": ready, **facts}, 200 if ready else 503)


def _naming(openai: OpenAIApi, name: str) -> Handler:
    async def handler(request: Request) -> None:
        await openai.model(request, name)

    return handler


async def _answer(request: Request, refusal: Refusal) -> None:
    if request.path.startswith("/v1/"):
        body, kind = encode_openai(refusal), JSON_TYPE
    else:
        body, kind = encode_problem(refusal), PROBLEM_TYPE
    await request.answer_bytes(body, refusal.status, (kind, *refusal.headers))


def _no_route() -> Refusal:
    return Refusal(
        "gateway.no_route",
        "There is nothing at this path.",
        action="See docs/api.md for the routes.",
        status=404,
    )


def _wrong_method(allowed: str) -> Refusal:
    return Refusal(
        "gateway.wrong_method",
        "This path does not take this method.",
        action=f"Use {allowed}.",
        status=405,
        headers=((b"allow", allowed.encode()),),
    )


def _unavailable() -> Refusal:
    return Refusal(
        "gateway.unavailable",
        "Something that this service needs cannot be reached.",
        action="Try again later.",
        status=503,
        headers=((b"retry-after", b"5"),),
    )


def _internal() -> Refusal:
    return Refusal(
        "gateway.internal",
        "The request failed inside the gateway.",
        action="Report it to whoever runs this service.",
        status=500,
    )
