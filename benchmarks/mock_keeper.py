"""A keeper without a model, as fast as Python can be: the real boundary, canned tokens.

It greets with a card of a small vocabulary and answers every ``Generate`` with as many tokens as
asked for, in ``--chunks`` frames. Without ``--tick`` the whole answer is sent at once. It measures
what stands in front of a model, never a model.

``python -m benchmarks.mock_keeper --fd N``: N is its end of the socket to the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys

import uvloop

from strongroom.boundary import codec
from strongroom.boundary.frames import (
    PROTOCOL,
    Cancel,
    Done,
    Generate,
    Hello,
    ModelCard,
    ToGateway,
    Tokens,
)

SPECIAL = ("<|start|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}{{'<|start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}"
    "{% endif %}"
)
CONTEXT = 2048


def card() -> ModelCard:
    """A card with a tokenizer of 258 tokens: each byte is one, two are control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return ModelCard(
        kind="causal-lm",
        model_id="mock",
        release=1,
        manifest_digest="0" * 64,
        rungs={"*": "text"},
        context_length=CONTEXT,
        vocab_size=tokenizer.get_vocab_size(),
        eos_token_ids=(257,),
        tokenizer=tokenizer.to_str().encode(),
        chat_template=TEMPLATE,
        special_tokens={"bos_token": SPECIAL[0], "eos_token": SPECIAL[1]},
    )


class MockKeeper(asyncio.Protocol):
    """Answers one gateway until it hangs up."""

    def __init__(self, model: ModelCard, chunks: int, tick: float) -> None:
        letters = json.loads(model.tokenizer)["model"]["vocab"]
        self._letter = int(letters["a"])
        self._model, self._chunks, self._tick = model, chunks, tick
        self._buffer = codec.keeper_buffer()
        self._running: dict[int, asyncio.Task[None]] = {}
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send(Hello(PROTOCOL, self._model, {}, "a mock: nothing leaves, nothing is kept"))

    def data_received(self, data: bytes) -> None:
        for payload in self._buffer.feed(data):
            frame = codec.decode_to_keeper(payload)
            if isinstance(frame, Generate):
                self._answer(frame)
            elif isinstance(frame, Cancel) and (task := self._running.get(frame.id)):
                task.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)

    def _answer(self, ask: Generate) -> None:
        if self._tick:
            task = asyncio.ensure_future(self._slowly(ask))
            self._running[ask.id] = task
            task.add_done_callback(lambda _: self._running.pop(ask.id))
            return
        frames: list[ToGateway] = [Tokens(ask.id, part) for part in self._parts(ask)]
        frames.append(Done(ask.id, "length", len(ask.tokens), ask.max_tokens))
        self._transport.write(b"".join(map(codec.encode_to_gateway, frames)))

    async def _slowly(self, ask: Generate) -> None:
        sent = 0
        with contextlib.suppress(asyncio.CancelledError):
            for part in self._parts(ask):
                self._send(Tokens(ask.id, part))
                sent += len(part)
                await asyncio.sleep(self._tick)
        reason = "length" if sent == ask.max_tokens else "cancelled"
        self._send(Done(ask.id, reason, len(ask.tokens), sent))

    def _parts(self, ask: Generate) -> list[tuple[int, ...]]:
        size = max(1, ask.max_tokens // self._chunks)
        ids = (self._letter,) * ask.max_tokens
        return [ids[at : at + size] for at in range(0, len(ids), size)]

    def _send(self, frame: ToGateway) -> None:
        self._transport.write(codec.encode_to_gateway(frame))


async def run(sock: socket.socket, chunks: int, tick: float) -> None:
    sock.setblocking(False)
    _, keeper = await asyncio.get_running_loop().create_unix_connection(
        lambda: MockKeeper(card(), chunks, tick), sock=sock
    )
    await keeper.over


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=1)
    parser.add_argument("--tick", type=float, default=0.0, help="seconds between frames")
    given = parser.parse_args()
    uvloop.run(run(socket.socket(fileno=given.fd), given.chunks, given.tick))
    return 0


if __name__ == "__main__":
    sys.exit(main())
