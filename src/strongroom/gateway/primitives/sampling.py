"""A sample: what chat and completions answer, with the text as token ids.

1. The prompt's ids are read back into messages or a text (``conversations``), and asked as those
   are at the OpenAI routes: the same schema, rules of text, limits, record, switches and keeper.
2. What is answered are the ids of the text that such an answer would have shown, so that neither a
   stop string nor the content policy is got around; no control token is among them.
3. The answer lies in the store until it is fetched; what is older than an hour is forgotten when
   the next is put there.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from strongroom.gateway.answers import Scribe
from strongroom.gateway.generating import Generating
from strongroom.gateway.ids import new_id
from strongroom.gateway.openai_api import Answer
from strongroom.gateway.primitives import wire
from strongroom.gateway.primitives.conversations import Conversations
from strongroom.gateway.primitives.shapes import SampleRequest, require_plain
from strongroom.gateway.schema import Generation, chat_generation, completion_generation
from strongroom.gateway.strict_json import Fields, decode_fields, parse_object
from strongroom.gateway.structured import Registered
from strongroom.gateway.text_rules import TextPolicy
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.gateway.tuning_desk import aside
from strongroom.store.sessions import SessionStore, StoredRequest

KEPT_SECONDS: Final = 3_600

_decoder: Final = msgspec.json.Decoder(SampleRequest)
_encode: Final = msgspec.json.Encoder().encode


def sample_generation(
    conversations: Conversations,
    fields: Fields,
    most_scores: int,
    policy: TextPolicy,
    registered: Registered,
) -> Generation:
    """Rule 1: the meaning of a sample, which the sampling session's name says whom to ask for.

    Raises:
        Refusal: 400, with the field's name.
    """
    request = decode_fields(fields, _decoder)
    require_plain(request)
    ids = [token for chunk in request.prompt.chunks for token in chunk.tokens]
    messages, prompt = conversations.asked(ids)
    asked = request.sampling_params
    body: dict[str, Any] = {
        "model": request.sampling_session_id,
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": asked.stop or None,
    }
    if not messages:
        return completion_generation(
            parse_object(_encode(body | {"prompt": prompt})), most_scores, policy, registered
        )
    body["messages"] = [{"role": each.role, "content": each.content} for each in messages]
    return chat_generation(parse_object(_encode(body)), most_scores, policy, registered)


class SampleAnswer(Answer):
    """Rules 2 and 3.

    Args:
        store: where it lies.
        tokenizer: the model's.
        arguments: those of ``Answer``.
    """

    def __init__(self, store: SessionStore, tokenizer: ModelTokenizer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._store, self._tokenizer = store, tokenizer
        self._reason = wire.STOP

    async def write(self, generating: Generating, scribe: Scribe) -> None:
        """Everything but the end."""
        await super().write(generating, scribe)
        self._reason = wire.STOP if generating.finish_reason == "stop" else wire.LENGTH

    async def finish(self) -> None:
        """The end: the answer says where it lies."""
        caller = self._passage.caller
        ids = self._tokenizer.encode_text(self.text)
        now = int(time.time())
        kept = StoredRequest(
            id=new_id("sample-"),
            organisation=caller.organisation if caller else "",
            session="",
            number=0,
            kind="sample",
            at=now,
            status="done",
            result=wire.write_sample(ids, self._reason),
        )
        await aside(self._store.forget_requests, now - KEPT_SECONDS)
        await aside(self._store.add_request, kept, b"", 0)
        named = {"request_id": kept.id, "sample_sequence_ids": [f"{kept.id}-0"]}
        await self._request.answer(named)
