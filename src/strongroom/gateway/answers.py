"""The answers of the OpenAI-compatible routes, built here field by field.

Nothing of the keeper's passes but text, counts and granted scores: no fingerprint, no token id.
"""

from __future__ import annotations

import time
from typing import Any, Final

from strongroom.gateway.generating import FinishReason, Piece
from strongroom.gateway.ids import new_id
from strongroom.gateway.tokenizing import ModelTokenizer

_UNLISTED: Final = -9999.0
"""OpenAI's value for a token that is not among the likeliest."""


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Token counts."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


class Scribe:
    """Writes the scores of pieces, and knows how many were asked to be listed (``shown``)."""

    def __init__(self, tokenizer: ModelTokenizer, shown: int) -> None:
        self._tokenizer = tokenizer
        self._shown = shown
        self._offset = 0

    def chat(self, piece: Piece) -> list[dict[str, Any]]:
        """Entries of ``logprobs.content``."""
        entries = []
        for token, score in zip(piece.tokens, piece.scores, strict=True):
            listed = dict(zip(score.ids, score.logprobs, strict=True))
            entry = self._entry(token, listed.get(token, _UNLISTED))
            top = list(listed.items())[: self._shown]
            entry["top_logprobs"] = [self._entry(i, value) for i, value in top]
            entries.append(entry)
        return entries

    def completion(self, pieces: list[Piece]) -> dict[str, Any]:
        """The older form: parallel lists."""
        lists: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }
        for piece in pieces:
            for token, score in zip(piece.tokens, piece.scores, strict=True):
                listed = dict(zip(score.ids, score.logprobs, strict=True))
                text = self._tokenizer.decode([token])
                top = list(listed.items())[: self._shown]
                lists["tokens"].append(text)
                lists["token_logprobs"].append(listed.get(token, _UNLISTED))
                lists["top_logprobs"].append({self._tokenizer.decode([i]): v for i, v in top})
                lists["text_offset"].append(self._offset)
                self._offset += len(text)
        return lists

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._tokenizer.decode([token])
        whole = "\ufffd" not in text
        return {
            "token": text,
            "logprob": logprob,
            "bytes": list(text.encode()) if whole else None,
        }


class Envelope:
    """What all the chunks of one answer share.

    Args:
        chat: a chat completion, or an older text completion.
        model: the model's public name.
        stream: whether the answer is sent as chunks.
    """

    def __init__(self, *, chat: bool, model: str, stream: bool) -> None:
        prefix = "chatcmpl" if chat else "cmpl"
        kind = "chat.completion" if chat else "text_completion"
        self._chat = chat
        self._head: dict[str, Any] = {
            "id": new_id(f"{prefix}-"),
            "object": f"{kind}.chunk" if chat and stream else kind,
            "created": int(time.time()),
            "model": model,
        }

    def whole(
        self, text: str, reason: FinishReason, logprobs: Any, counts: dict[str, int]
    ) -> dict[str, Any]:
        """The answer in one."""
        choice: dict[str, Any] = {"index": 0, "logprobs": logprobs, "finish_reason": reason}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        return {**self._head, "choices": [choice], "usage": counts}

    def chunk(
        self,
        text: str | None,
        *,
        first: bool = False,
        reason: FinishReason | None = None,
        logprobs: Any = None,
        with_usage: bool = False,
    ) -> dict[str, Any]:
        """One piece of a stream; ``with_usage`` where a chunk with counts will follow."""
        choice: dict[str, Any] = {"index": 0, "logprobs": logprobs, "finish_reason": reason}
        if self._chat:
            delta: dict[str, Any] = {"role": "assistant"} if first else {}
            if text is not None:
                delta["content"] = text
            choice["delta"] = delta
        else:
            choice["text"] = text or ""
        body = {**self._head, "choices": [choice]}
        if with_usage:
            body["usage"] = None
        return body

    def counts(self, counts: dict[str, int]) -> dict[str, Any]:
        """The last chunk of a stream that was asked for usage."""
        return {**self._head, "choices": [], "usage": counts}
