"""The OpenAI-compatible routes.

Every request to generate takes these steps, and no other way leads to the keeper:

1. body: bounded in bytes and time;   2. key;   3. JSON;   4. closed schema and meaning;
5. model name;   6. tokenise and count;   7. forward our own frame;   8. answer, built by us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strongroom.gateway.admission import Admission
from strongroom.gateway.answers import Envelope, Scribe, usage
from strongroom.gateway.generating import Generating, Piece
from strongroom.gateway.http import Request
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.line import Held
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import Generation, chat_generation, completion_generation
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.strict_json import Fields, check_unique, parse_object
from strongroom.gateway.text_rules import TextPolicy

_Meaning = Callable[[Fields, int, TextPolicy], Generation]


class OpenAIApi:
    """Handlers of ``/v1``."""

    def __init__(self, admission: Admission, model: ServedModel, keeper: KeeperClient) -> None:
        self._admission = admission
        self._model = model
        self._keeper = keeper

    async def chat(self, request: Request) -> None:
        """``POST /v1/chat/completions``."""
        await self._generate(request, chat_generation, chat=True)

    async def complete(self, request: Request) -> None:
        """``POST /v1/completions``."""
        await self._generate(request, completion_generation, chat=False)

    async def models(self, request: Request) -> None:
        """``GET /v1/models``."""
        self._admission.identify(request)
        await request.answer({"object": "list", "data": [self._entry()]})

    async def model(self, request: Request, name: str) -> None:
        """``GET /v1/models/{id}``."""
        self._admission.identify(request)
        self._model.require(name)
        await request.answer(self._entry())

    def _entry(self) -> dict[str, Any]:
        return {
            "id": self._model.name,
            "object": "model",
            "created": self._model.created,
            "owned_by": "strongroom",
        }

    async def _generate(self, request: Request, meaning: _Meaning, *, chat: bool) -> None:
        key, body = await self._admission.admit(request)  # steps 1 and 2
        fields = parse_object(body)  # step 3
        most = self._model.most_scores(key.organisation)
        generation = meaning(fields, most, self._model.text)  # step 4
        self._model.require(generation.model)  # step 5
        ids = await self._model.tokens(generation)  # step 6
        check_unique(body)  # the dearest look at a long text: after its length was judged
        frame = self._model.frame(self._keeper.next_id(), key.organisation, generation, ids)
        envelope = Envelope(chat=chat, model=self._model.name, stream=generation.stream)
        answer = _Answer(request, generation, envelope, len(ids), chat=chat)

        with Held(request.line):
            async with self._keeper.start(frame) as exchange:  # step 7
                tokenizer = self._model.tokenizer
                generating = Generating(exchange, tokenizer, generation.stops)
                await answer.write(generating, Scribe(tokenizer, generation.shown))  # step 8


class _Answer:
    """Writes one answer, whole or as a stream."""

    def __init__(
        self,
        request: Request,
        generation: Generation,
        envelope: Envelope,
        prompt_tokens: int,
        *,
        chat: bool,
    ) -> None:
        self._request = request
        self._generation = generation
        self._envelope = envelope
        self._prompt_tokens = prompt_tokens
        self._chat = chat

    async def write(self, generating: Generating, scribe: Scribe) -> None:
        if self._generation.stream:
            await self._stream(generating, scribe)
        else:
            await self._whole(generating, scribe)

    async def _whole(self, generating: Generating, scribe: Scribe) -> None:
        pieces = [piece async for piece in generating.pieces()]
        text = "".join(piece.text for piece in pieces)
        counts = usage(self._prompt_tokens, generating.completion_tokens)
        scores = self._scores(scribe, pieces)
        reason = generating.finish_reason
        await self._request.answer(self._envelope.whole(text, reason, scores, counts))

    async def _stream(self, generating: Generating, scribe: Scribe) -> None:
        request, envelope = self._request, self._envelope
        with_usage = self._generation.include_usage
        started = False
        try:
            async for piece in generating.pieces():
                if not started:  # only now: until the first piece, a refusal has a status
                    await self._start()
                    started = True
                if piece.text or piece.scores:
                    scores = self._scores(scribe, [piece])
                    await request.event(
                        envelope.chunk(piece.text, logprobs=scores, with_usage=with_usage)
                    )
        except Refusal as refusal:
            if not started:
                raise
            await request.event(refusal.openai())
            await request.end_events()
            return
        if not started:
            await self._start()
        reason = generating.finish_reason
        await request.event(envelope.chunk(None, reason=reason, with_usage=with_usage))
        if with_usage:
            counts = usage(self._prompt_tokens, generating.completion_tokens)
            await request.event(envelope.counts(counts))
        await request.end_events()

    async def _start(self) -> None:
        await self._request.start_events()
        if self._chat:
            with_usage = self._generation.include_usage
            await self._request.event(self._envelope.chunk("", first=True, with_usage=with_usage))

    def _scores(self, scribe: Scribe, pieces: list[Piece]) -> Any:
        if not self._generation.scores:
            return None
        scored = [piece for piece in pieces if piece.scores]
        if self._chat:
            content = [entry for piece in scored for entry in scribe.chat(piece)]
            return {"content": content, "refusal": None}
        return scribe.completion(scored)
