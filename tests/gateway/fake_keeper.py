"""A keeper without a model: it records the frames it gets and answers from a script."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from strongroom.boundary import codec
from strongroom.boundary.frames import (
    PROTOCOL,
    AskStatus,
    Cancel,
    Classify,
    Done,
    Embed,
    Embeddings,
    Generate,
    Hello,
    Labels,
    ModelCard,
    Refused,
    Rung,
    Status,
    ToGateway,
    ToKeeper,
    Tokens,
    TokenScores,
)

TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>")
CONTEXT = 512


def small_tokenizer() -> Tokenizer:
    """A real byte-level BPE tokenizer, trained on the spot; ``<tool_call>`` is not "special"."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL[:3]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "the quick brown fox says hello to the world and counts one two three | <> im start end"
    tokenizer.train_from_iterator([text] * 3, trainer)
    tokenizer.add_tokens([AddedToken(SPECIAL[3], normalized=False)])
    return tokenizer


def language_card(tokenizer: Tokenizer, rungs: dict[str, Rung], template: str) -> ModelCard:
    return ModelCard(
        kind="causal-lm",
        model_id="m",
        release=1,
        manifest_digest="0" * 64,
        rungs=rungs,
        context_length=CONTEXT,
        vocab_size=tokenizer.get_vocab_size(),
        embedding_width=4,
        eos_token_ids=(2,),
        tokenizer=tokenizer.to_str().encode(),
        chat_template=template,
        special_tokens={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
    )


def classifier_card(rungs: dict[str, Rung], dtype: str = "F32") -> ModelCard:
    return ModelCard(
        kind="classifier",
        model_id="c",
        release=3,
        manifest_digest="0" * 64,
        rungs=rungs,
        input_dtype="F32" if dtype == "F32" else "U8",
        input_shape=(2, 3),
        input_range=(0.0, 16.0),
        labels=("zero", "one", "two"),
        max_rows=8,
    )


class FakeKeeper:
    """Serves one socket in a thread.

    ``answer`` is the text it generates, ``rows`` what it embeds texts as, ``refuse`` a code to
    refuse with, ``pause`` seconds between tokens, ``raw`` bytes to send in place of an answer.
    """

    def __init__(self, card: ModelCard, tokenizer: Tokenizer | None = None) -> None:
        self.card = card
        self.tokenizer = tokenizer
        self.frames: list[ToKeeper] = []
        self.answer = "hello world"
        self.answer_ids: Sequence[int] | None = None
        self.end = "stop"
        self.refuse: str | None = None
        self.rows: list[bytes] | None = None
        self.pause = 0.0
        self.raw: bytes | None = None
        self.hang_up = False
        self.silent = False
        self.mute = False
        self.cancelled: set[int] = set()
        self.gateway, self._sock = socket.socketpair()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._sock.close()

    def generated(self) -> list[Generate]:
        return [frame for frame in self.frames if isinstance(frame, Generate)]

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            self._send(Hello(PROTOCOL, self.card, {"seccomp": "on"}, "plenty"))
            buffer = codec.keeper_buffer()
            while data := self._sock.recv(65536):
                for payload in buffer.feed(data):
                    self._receive(codec.decode_to_keeper(payload))

    def _receive(self, frame: ToKeeper) -> None:
        if isinstance(frame, AskStatus):
            if not self.silent:
                self._send(Status(0, 0, 10.0, 20.0, 100.0, 200.0))
            return
        self.frames.append(frame)
        if isinstance(frame, Cancel):
            self.cancelled.add(frame.id)
        elif self.raw is not None:
            self._sock.sendall(self.raw)
        elif self.hang_up:
            self._sock.shutdown(socket.SHUT_RDWR)
        elif self.refuse is not None and not isinstance(frame, Cancel):
            self._send(Refused(frame.id, self.refuse, "No. Do otherwise."))  # type: ignore[union-attr]
        elif isinstance(frame, Classify):
            self._send(self._labels(frame))
        elif isinstance(frame, Embed) and not self.mute:
            rows = self.rows or [
                bytes([len(text), 127, 256 - len(text), 0]) for text in frame.texts
            ]
            self._send(Embeddings(frame.id, b"".join(rows)))
        elif isinstance(frame, Generate) and not self.mute:
            threading.Thread(target=self._generate, args=(frame,), daemon=True).start()

    def _generate(self, ask: Generate) -> None:
        ids = self.answer_ids
        if ids is None:
            assert self.tokenizer is not None
            ids = self.tokenizer.encode(self.answer, add_special_tokens=False).ids
        sent = 0
        reason = self.end
        for token in ids:
            if sent == ask.max_tokens:
                reason = "length"
                break
            if ask.id in self.cancelled:
                reason = "cancelled"
                break
            scores = ()
            if ask.top_logprobs:
                likeliest = tuple(dict.fromkeys((token, 5, 6, 7, 8, 9)))[: ask.top_logprobs]
                values = tuple(-0.5 * (i + 1) for i in range(len(likeliest)))
                scores = (TokenScores(likeliest, values),)
            self._send(Tokens(ask.id, (token,), scores))
            sent += 1
            time.sleep(self.pause)
        self._send(Done(ask.id, reason, len(ask.tokens), sent))  # type: ignore[arg-type]

    def _labels(self, ask: Classify) -> Labels:
        rows = ask.shape[0]
        scores = tuple((0.75,) for _ in range(rows)) if ask.scores else ()
        return Labels(ask.id, tuple(i % 3 for i in range(rows)), scores)

    def _send(self, frame: ToGateway) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._sock.sendall(codec.encode_to_gateway(frame))
