"""``POST /v1/embeddings``: where a text lies in the model, in steps, if the policy grants it.

It takes the steps of ``pipeline``, with texts in the place of a conversation. Each text is turned
into tokens by itself with control tokens split, as a prompt is; a caller's token ids are not taken.
"""

from __future__ import annotations

import array
import base64
import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from strongroom.boundary.frames import MAX_TEXTS, Embed, Embeddings
from strongroom.gateway.denied import strip_denied
from strongroom.gateway.http import Request
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.pacing import Pacing
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.pipeline.spending import Spending
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.strict_json import check_unique, decode_fields, parse_object
from strongroom.gateway.text_rules import clean_text


class EmbeddingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Body of ``POST /v1/embeddings``. ``user`` is accepted and dropped."""

    model: Annotated[str, Meta(max_length=256)]
    input: str | Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None


_request: Final = msgspec.json.Decoder(EmbeddingRequest)
_encode: Final = msgspec.json.Encoder().encode


class EmbeddingsApi:
    """The handler."""

    def __init__(
        self, desk: Desk, model: ServedModel, keeper: KeeperClient, pacing: Pacing
    ) -> None:
        self._desk = desk
        self._model = model
        self._keeper = keeper
        self._pad_bytes = pacing.pad_bytes

    async def embed(self, request: Request) -> None:
        """``POST /v1/embeddings``."""
        model = self._model
        async with self._desk.passage(request, "embeddings") as passage:
            caller, body = await passage.admit()
            fields = parse_object(body)
            strip_denied(fields, frozenset())
            asked = decode_fields(fields, _request)
            given = [asked.input] if isinstance(asked.input, str) else asked.input
            texts = [clean_text(each, f"input[{i}]", model.text) for i, each in enumerate(given)]
            model.require(asked.model)
            self._require_grant(caller.organisation)
            if self._desk.content is not None:
                await self._desk.content.check_input("\n".join(texts))
            ids = await model.texts(texts)
            check_unique(body)
            frame = Embed(self._keeper.next_id(), caller.organisation, ids)
            rung = model.rung(caller.organisation)
            spending = Spending(frame, model.card, rung, self._desk.rates)
            await passage.reserve(spending, _encode(texts))
            for text in ids:
                passage.observe(list(text))
            with passage.hold():
                exchange = passage.exchange = self._keeper.start(frame)
                async with exchange:
                    answer = await exchange.next()
                await passage.progress()
            if not isinstance(answer, Embeddings):
                raise RuntimeError("the client let a wrong answer through")
            await passage.answered("embedding", answer.data)
            said = self._answer(answer.data, sum(map(len, ids)), asked.encoding_format == "base64")
            await request.answer(said, pad_bytes=self._pad_bytes)

    def _require_grant(self, organisation: str) -> None:
        if self._model.rung(organisation) != "embeddings":
            raise Refusal(
                "gateway.embeddings_not_allowed",
                "Embeddings are not allowed at your rung of disclosure.",
                action="Ask for text, or ask the model's owner for rung `embeddings`.",
                status=403,
                rung="embeddings",
            )

    def _answer(self, data: bytes, tokens: int, packed: bool) -> dict[str, Any]:
        width = self._model.card.embedding_width
        rows = [_unit(data[start : start + width]) for start in range(0, len(data), width)]
        return {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _packed(row) if packed else row.tolist(),
                }
                for index, row in enumerate(rows)
            ],
            "model": self._model.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _unit(row: bytes) -> array.array[float]:
    """The steps as a float32 vector of length one, as OpenAI's are; it says no more than they."""
    steps = array.array("b", row)
    length = math.sqrt(sum(step * step for step in steps))
    if not length:
        raise RuntimeError("the client let an empty embedding through")
    return array.array("f", [step / length for step in steps])


def _packed(row: array.array[float]) -> str:
    """OpenAI's base64 form: little-endian float32."""
    return base64.b64encode(row.tobytes()).decode("ascii")
