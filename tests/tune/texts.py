"""Conversations, and the service's own encoding of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from gateway.fake_keeper import SPECIAL, TEMPLATE, small_tokenizer

from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.schema import Message
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.tune.dataset import Encode

WORDS: list[str] = str.split(
    "quick brown fox says hello world counts one two three start end lazy dog jumps over moon "
    "river stone paper green light seven music table window garden silver orange winter summer"
)


def encoder() -> tuple[Encode, frozenset[int]]:
    """The gateway's encoding, and its control tokens."""
    tokenizer = ModelTokenizer(small_tokenizer().to_str().encode(), 404)
    template = ChatTemplate(TEMPLATE, {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}, tokenizer)

    def encode(turns: Sequence[tuple[str, str]]) -> list[int]:
        return template.encode([Message(role, text) for role, text in turns])  # type: ignore[arg-type]

    return encode, frozenset(tokenizer.control_tokens.values())


def turns(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer, **more},
        ]
    }


def jsonl(*lines: dict[str, Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def varied(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Conversations of random words: no two alike."""
    by = random.Random(seed)
    return [
        turns(" ".join(by.choices(WORDS, k=6)), " ".join(by.choices(WORDS, k=8)))
        for _ in range(count)
    ]
