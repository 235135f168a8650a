"""The model behind the door as the gateway knows it: its card, tokenizer and template."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from strongroom.boundary.frames import MAX_TOP_LOGPROBS, Generate, ModelCard, Rung, Sampling
from strongroom.errors import ConfigurationRefused
from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import NO_SCHEMAS, Generation, Message
from strongroom.gateway.structured import Registered
from strongroom.gateway.text_rules import TextPolicy
from strongroom.gateway.tokenizing import ModelTokenizer

_MOST_SCORES: Final[dict[Rung, int]] = {
    "top1": 1,
    "topk": MAX_TOP_LOGPROBS,
    "logits": MAX_TOP_LOGPROBS,
    "embeddings": MAX_TOP_LOGPROBS,
}
_THREAD_CHARACTERS: Final = 16_384
"""Longer conversations are tokenised in a thread, so that they hold nobody up."""

COMPLETION_DEFAULT: Final = 16
"""OpenAI's default ``max_tokens`` of completions; a chat may fill the context."""


class ServedModel:
    """What answers questions about the one model that this gateway serves.

    Raises:
        ConfigurationRefused: ``gateway.tokenizer_unsupported``, ``gateway.template_unsupported``
            or ``gateway.bad_card``: callers' text cannot be kept apart from control tokens.
    """

    def __init__(
        self, name: str, card: ModelCard, text: TextPolicy, schemas: Registered = NO_SCHEMAS
    ) -> None:
        self.name = name
        self.card = card
        self.text = text
        self.schemas = schemas
        self.created = int(time.time())
        self._tokenizer: ModelTokenizer | None = None
        self._template: ChatTemplate | None = None
        if card.kind == "causal-lm":
            if card.context_length < 2 or card.vocab_size < 1:
                raise _bad_card()
            self._tokenizer = ModelTokenizer(card.tokenizer, card.vocab_size)
            if card.chat_template:
                self._template = ChatTemplate(
                    card.chat_template, card.special_tokens, self._tokenizer
                )

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The tokenizer; 404 ``gateway.not_a_language_model`` for a classifier."""
        if self._tokenizer is None:
            raise Refusal(
                "gateway.not_a_language_model",
                f"The model `{self.name}` does not generate text.",
                action="Use /v2/models/{name}/infer.",
                status=404,
            )
        return self._tokenizer

    @property
    def template(self) -> ChatTemplate:
        """The chat template; 400 ``gateway.no_chat_template`` where there is none."""
        if self._template is None:
            raise Refusal(
                "gateway.no_chat_template",
                "This model has no chat template.",
                action="Use /v1/completions.",
            )
        return self._template

    def rung(self, tenant: str) -> Rung:
        """The rung of disclosure that the sealed policy gives ``tenant``."""
        return self.card.rungs.get(tenant, self.card.rungs.get("*", "closed"))

    def most_scores(self, tenant: str) -> int:
        """How many likeliest tokens the rung of ``tenant`` shows at each position."""
        return _MOST_SCORES.get(self.rung(tenant), 0)

    def require(self, name: str) -> None:
        """Refuse any other model name: 404 ``gateway.no_model``."""
        if name != self.name:
            raise Refusal(
                "gateway.no_model",
                "There is no model of that name here.",
                action=f"Ask for `{self.name}`.",
                status=404,
                param="model",
            )

    async def tokens(self, generation: Generation) -> list[int]:
        """The prompt's ids.

        Raises:
            Refusal: 400 ``gateway.context_exceeded``, or why there are none.
        """
        characters = sum(len(m.content) for m in generation.messages) + len(generation.prompt)
        return await self._bounded(characters, partial(self._encode, generation))

    async def texts(self, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The ids of texts that stand by themselves; all together they fit the context.

        Raises:
            Refusal: as for ``tokens``.
        """
        found: list[tuple[int, ...]] = []
        room = self.card.context_length
        for text in texts:
            found.append(tuple(await self._bounded(len(text), partial(self._plain, text, "input"))))
            room -= len(found[-1])
            if room < 1:
                raise self._exceeded()
        return tuple(found)

    async def _bounded(self, characters: int, encode: Callable[[], list[int]]) -> list[int]:
        if self.tokenizer.too_long(characters, self.card.context_length):
            raise self._exceeded()
        long = characters > _THREAD_CHARACTERS
        ids = await asyncio.to_thread(encode) if long else encode()
        if len(ids) >= self.card.context_length:
            raise self._exceeded()
        return ids

    def _encode(self, generation: Generation) -> list[int]:
        if generation.messages:
            return self.template.encode(generation.messages)
        return self._plain(generation.prompt, "prompt")

    def _plain(self, text: str, param: str) -> list[int]:
        ids = self.tokenizer.encode_prompt(text)
        if not ids:
            raise Refusal(
                "gateway.empty_prompt", "The text is empty.", action="Send text.", param=param
            )
        return ids

    def scaffold(self) -> list[int]:
        """The ids of an empty conversation, which every chat holds; none without a template."""
        if self._template is None:
            return []
        return self._template.encode((Message(role="user", content=""),))

    def frame(
        self, number: int, tenant: str, generation: Generation, ids: list[int], adapter: str
    ) -> Generate:
        """The one frame that is forwarded: our own encoding, with ``max_tokens`` bounded.

        ``adapter`` is one of the tenant's; empty for the bare base.
        """
        room = self.card.context_length - len(ids)
        default = room if generation.messages else COMPLETION_DEFAULT
        return Generate(
            id=number,
            tenant=tenant,
            tokens=tuple(ids),
            max_tokens=min(generation.max_tokens or default, room),
            sampling=Sampling(temperature=generation.temperature, top_p=generation.top_p),
            top_logprobs=generation.scores,
            schema=generation.schema,
            adapter=adapter,
        )

    def _exceeded(self) -> Refusal:
        return Refusal(
            "gateway.context_exceeded",
            f"The prompt leaves no room in the context of {self.card.context_length} tokens.",
            action="Send a shorter one.",
        )


def _bad_card() -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.bad_card",
        "The keeper's card has no context or vocabulary.",
        action="Run the same version on both sides.",
    )
