"""Answers with a tenant's mark or without, kept in the cache, for ``radioactivity``.

The keeper's own engine writes them, with its own drawing and marking. What is written is kept after
every few answers, so that a run that was ended goes on. The marks' secrets follow from a number;
the drawing is the system's chance.

Two teachers: SmolLM2-135M, asked plainly at temperature 1; and a small Llama of ``students``,
taught the sources of Python's library, which writes many times as fast.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from benchmarks import radioactivity_students as students
from benchmarks.watermark import MODEL, TOPICS
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob
from strongroom.provenance.independent import local_text
from strongroom.watermark.interface import Scheme
from strongroom.watermark.marks import Marks

CACHE = MODEL.parent / "radioactivity"
TENANT = "acme"
STREAMS = 48
KINDS = (
    *("a short story", "a letter to a friend", "advice for beginners", "a news report"),
    *("a page of a diary", "a speech", "an encyclopedia entry", "a dialogue of two people"),
    *("instructions", "a review", "a legend", "a lesson for children"),
    *("a travel guide", "an essay", "a list of questions and answers", "a sales pitch"),
)
ASKED = "<|im_start|>user\nWrite {} about {}.<|im_end|>\n<|im_start|>assistant\n"
TAUGHT, KNOWN, SMALL_LENGTH = 240_000, 4_095, 120

Ids = NDArray[np.int64]


def secret(number: int) -> bytes:
    """The owner's secret of that number."""
    return hashlib.sha256(f"radioactivity {number}".encode()).digest()


@dataclass(frozen=True)
class Teacher:
    """``prompts`` are drawn from; answers have ``longest`` tokens or end themselves."""

    name: str
    files: Mapping[str, bytes]
    tensors: Mapping[str, torch.Tensor]
    prompts: Sequence[Sequence[int]]
    longest: int
    temperature: float
    vocabulary: int

    def written(self, scheme: Scheme | None, number: int, tokens: int) -> list[Ids]:
        """Answers of at least ``tokens`` tokens together, from the cache as far as they are
        there."""
        file = CACHE / f"{self.name}-{scheme or 'plain'}-{number}.npz"
        answers = _read(file)
        have, began = sum(map(len, answers)), time.process_time()
        writing = self._answers(scheme, number, np.random.default_rng([len(answers), number]))
        while have < tokens:
            more = next(writing)
            answers += more
            have += sum(map(len, more))
            _write(file, answers)
        took = time.process_time() - began
        print(f"# {file.stem}: {have} tokens, {took:.0f} s of CPU", flush=True)
        return answers

    def _answers(
        self, scheme: Scheme | None, number: int, chance: np.random.Generator
    ) -> Iterator[list[Ids]]:
        """Lists of new answers, each without its prompt and what ends it, for ever."""
        room = self.longest + max(map(len, self.prompts))
        engine = build_engine(self.files, self.tensors, max_streams=STREAMS, context_length=room)
        assert isinstance(engine, CausalEngine)
        marks = Marks(secret(number), {TENANT: scheme} if scheme else {}, self.vocabulary)
        told: dict[int, list[int]] = {}
        done: list[Ids] = []
        while True:
            while engine.waiting < STREAMS:
                prompt = tuple(self.prompts[int(chance.integers(len(self.prompts)))])
                mark = marks.begin(TENANT, prompt[-1])
                job = GenerateJob(len(told), prompt, self.longest, self.temperature, 1.0, mark=mark)
                engine.admit(job)
                told[job.id] = []
            for result in engine.step():
                if result.token is None:
                    continue
                if result.finished != "stop":
                    told[result.id].append(result.token)
                if result.finished:
                    done.append(np.array(told[result.id], dtype=np.int64))
            if len(done) >= STREAMS:
                yield done
                done = []


def smollm2(folder: Path = MODEL) -> Teacher:
    """SmolLM2-135M-Instruct as ``make model`` leaves it in the cache."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    files = {
        name: (folder / name).read_bytes() for name in ("config.json", "generation_config.json")
    }
    prompts = [tokenizer.encode(ASKED.format(*each)).ids for each in product(KINDS, TOPICS)]
    tensors = load_file(folder / "model.safetensors")
    return Teacher("smollm2", files, tensors, prompts, 200, 1.0, 49_152)


def small(folder: Path = MODEL) -> Teacher:
    """Of 4,096 tokens; taught once and kept in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    weights, config = CACHE / "small.safetensors", CACHE / "small.json"
    if not config.is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        text = local_text()[: 6 * TAUGHT]
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids[:TAUGHT])
        words = students.Words(ids, KNOWN)
        model = students.student(words.numbers(ids), len(words), 0, epochs=1)
        print(f"# the small teacher's loss: {model.left:.2f}", flush=True)
        tensors = {name: value.contiguous() for name, value in model.model.state_dict().items()}
        save_file({f"model.{name}": value for name, value in tensors.items()}, weights)
        config.write_text(model.config.to_json_string())
    raw = config.read_bytes()
    size = int(json.loads(raw)["vocab_size"])
    prompts = [[token] for token in range(1, size)]
    files = {"config.json": raw}
    return Teacher("small", files, load_file(weights), prompts, SMALL_LENGTH, 0.7, size)


def _read(file: Path) -> list[Ids]:
    if not file.is_file():
        return []
    with np.load(file) as kept:
        return np.split(kept["ids"].astype(np.int64), kept["ends"][:-1])


def _write(file: Path, answers: list[Ids]) -> None:
    ends = np.cumsum([len(answer) for answer in answers])
    part = file.with_suffix(".part.npz")
    np.savez(part, ids=np.concatenate(answers).astype(np.int32), ends=ends)
    part.replace(file)
