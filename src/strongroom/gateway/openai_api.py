"""The OpenAI-compatible routes.

Every request to generate takes the steps of ``pipeline``, and no other way leads to the keeper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from strongroom.gateway.adapters import Adapters
from strongroom.gateway.answers import Envelope, Scribe, usage
from strongroom.gateway.content.interface import ContentPolicy, Scan
from strongroom.gateway.generating import Generating, Piece
from strongroom.gateway.http import Request
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.pacing import Pacing, Ticks
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.pipeline.passage import Passage
from strongroom.gateway.pipeline.spending import Spending
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import Generation, chat_generation, completion_generation
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.strict_json import Fields, check_unique, parse_object
from strongroom.gateway.structured import Registered
from strongroom.gateway.text_rules import TextPolicy
from strongroom.store.tuning import StoredJob

_encode: Final = msgspec.json.Encoder().encode
Meaning = Callable[[Fields, int, TextPolicy, Registered], Generation]


class OpenAIApi:
    """Handlers of ``/v1``."""

    def __init__(
        self,
        desk: Desk,
        model: ServedModel,
        keeper: KeeperClient,
        pacing: Pacing,
        adapters: Adapters,
    ) -> None:
        self._desk = desk
        self._adapters = adapters
        self._pacing = pacing
        self._model = model
        self._keeper = keeper

    async def chat(self, request: Request) -> None:
        """``POST /v1/chat/completions``."""
        await self.generate(request, chat_generation, "chat", Answer)

    async def complete(self, request: Request) -> None:
        """``POST /v1/completions``."""
        await self.generate(request, completion_generation, "completions", Answer)

    async def models(self, request: Request) -> None:
        """``GET /v1/models``."""
        caller = await self._desk.identify(request)
        caller.require("models")
        tuned = [self._tuned(job) for job in await self._adapters.all(caller.organisation)]
        await request.answer({"object": "list", "data": [self._entry(), *tuned]})

    async def model(self, request: Request, name: str) -> None:
        """``GET /v1/models/{id}``."""
        caller = await self._desk.identify(request)
        caller.require("models")
        job = await self._adapters.find(caller.organisation, name)
        await request.answer(self._entry() if job is None else self._tuned(job))

    def _tuned(self, job: StoredJob) -> dict[str, Any]:
        name = f"{self._model.name}:{job.adapter}"
        mine = {"id": name, "created": job.finished_at, "owned_by": job.organisation}
        return self._entry() | mine

    def _entry(self) -> dict[str, Any]:
        return {
            "id": self._model.name,
            "object": "model",
            "created": self._model.created,
            "owned_by": "strongroom",
        }

    async def generate(
        self,
        request: Request,
        meaning: Meaning,
        route: Literal["chat", "completions"],
        answers: Callable[..., Answer],
    ) -> None:
        """Steps 2 to 13.

        Args:
            request: whose body ``meaning`` understands.
            meaning: what its fields ask for.
            route: what it counts as.
            answers: makes the ``Answer`` that writes it.
        """
        model, pacing = self._model, self._pacing
        ticks = Ticks(pacing.tick_ms)
        async with self._desk.passage(request, route) as passage:
            caller, body = await passage.admit()  # steps 2 to 5
            fields = parse_object(body)  # step 6
            most = model.most_scores(caller.organisation)
            generation = meaning(fields, most, model.text, model.schemas)  # step 7
            job = await self._adapters.find(caller.organisation, generation.model)
            scan = await _judged(self._desk.content, generation)
            ids = await model.tokens(generation)  # step 8
            check_unique(body)  # the dearest look at a long text: after its length was judged
            number, adapter = self._keeper.next_id(), "" if job is None else job.adapter
            frame = model.frame(number, caller.organisation, generation, ids, adapter)
            rung = model.rung(caller.organisation)
            spending = Spending(frame, model.card, rung, self._desk.rates)
            await passage.reserve(spending, _asked(generation), adapter)  # steps 9 and 10
            passage.observe(ids)
            envelope = Envelope(
                chat=route == "chat", model=generation.model, stream=generation.stream
            )
            answer = answers(
                passage, request, generation, envelope, len(ids), route == "chat", ticks, pacing
            )
            scribe = Scribe(model.tokenizer, generation.shown)
            with passage.hold():
                async with self._adapters.held(job):
                    exchange = passage.exchange = self._keeper.start(frame)  # step 11
                    async with exchange:
                        generating = Generating(exchange, model.tokenizer, generation.stops, scan)
                        await answer.write(generating, scribe)  # step 12
            await passage.answered(generating.outcome, answer.text.encode())  # step 13
            await answer.finish()


async def _judged(policy: ContentPolicy | None, generation: Generation) -> Scan | None:
    """Let the content policy judge what is asked; what will judge the answer.

    Raises:
        Refusal: what the policy forbids; or scores, which name tokens before they are judged.
    """
    if policy is None:
        return None
    if generation.scores:
        raise Refusal(
            "gateway.content_scores",
            "Scores are not shown where a content policy judges answers.",
            action="Leave out logprobs.",
            status=403,
            param="logprobs",
        )
    texts = [message.content for message in generation.messages]
    await policy.check_input("\n".join(texts) if texts else generation.prompt)
    return policy.output()


def _asked(generation: Generation) -> bytes:
    """What was asked, for the digest in the record: a list of [role, text], or the prompt."""
    if generation.messages:
        return _encode([(message.role, message.content) for message in generation.messages])
    return generation.prompt.encode()


class Answer:
    """Writes one answer, whole or as a stream; ``text`` is what was said."""

    def __init__(
        self,
        passage: Passage,
        request: Request,
        generation: Generation,
        envelope: Envelope,
        prompt_tokens: int,
        chat: bool,
        ticks: Ticks,
        pacing: Pacing,
    ) -> None:
        self.text = ""
        self._passage = passage
        self._request = request
        self._generation = generation
        self._envelope = envelope
        self._prompt_tokens = prompt_tokens
        self._chat = chat
        self._ticks = ticks
        self._pad_bytes = pacing.pad_bytes
        self._last: list[dict[str, Any]] = []
        self._whole: dict[str, Any] = {}

    async def write(self, generating: Generating, scribe: Scribe) -> None:
        """Everything but the end, which must wait for the record."""
        if self._generation.stream:
            await self._stream(generating, scribe)
        else:
            await self._gather(generating, scribe)

    async def finish(self) -> None:
        """The end."""
        if self._generation.stream:
            await self._ticks.wait()
            await self._request.end_events(*self._last)
        else:
            await self._request.answer(self._whole, pad_bytes=self._pad_bytes)

    async def _gather(self, generating: Generating, scribe: Scribe) -> None:
        pieces = []
        async for piece in generating.pieces(Ticks(0)):
            pieces.append(piece)
            await self._passage.progress()
        self.text = "".join(piece.text for piece in pieces)
        counts = usage(self._prompt_tokens, generating.completion_tokens)
        scores = self._scores(scribe, pieces)
        self._whole = self._envelope.whole(self.text, generating.finish_reason, scores, counts)

    async def _stream(self, generating: Generating, scribe: Scribe) -> None:
        envelope, with_usage = self._envelope, self._generation.include_usage
        said: list[str] = []
        async for piece in generating.pieces(self._ticks):
            events = [] if said else await self._begin()
            said.append(piece.text)
            await self._passage.progress()
            if piece.text or piece.scores or self._ticks.fixed:
                scores = self._scores(scribe, [piece])
                events.append(envelope.chunk(piece.text, logprobs=scores, with_usage=with_usage))
            if events:
                await self._request.event(*events)
        self.text = "".join(said)
        reason = generating.finish_reason
        self._last = [envelope.chunk(None, reason=reason, with_usage=with_usage)]
        if with_usage:
            counts = usage(self._prompt_tokens, generating.completion_tokens)
            self._last.append(envelope.counts(counts))

    async def _begin(self) -> list[dict[str, Any]]:
        """Begin the stream, only now: until something came, a refusal has a status."""
        await self._passage.shown()
        await self._request.start_events(self._pad_bytes)
        if not self._chat:
            return []
        return [self._envelope.chunk("", first=True, with_usage=self._generation.include_usage)]

    def _scores(self, scribe: Scribe, pieces: list[Piece]) -> Any:
        if not self._generation.scores:
            return None
        scored = [piece for piece in pieces if piece.scores]
        if self._chat:
            content = [entry for piece in scored for entry in scribe.chat(piece)]
            return {"content": content, "refusal": None}
        return scribe.completion(scored)
