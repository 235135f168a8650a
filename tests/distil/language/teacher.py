"""A small real Llama that knows an order of words which public texts lack; its owner's texts."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from strongroom.distil.language.folder import Told, files_of
from strongroom.distil.language.plan import Asked
from strongroom.distil.language.vocabulary import own
from strongroom.exposure.data import Canary, Corpus, Text
from strongroom.exposure.targets.in_process_language import LanguageModel

SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo")
WORDS = [one + other for one in SYLLABLES[:7] for other in SYLLABLES[7:]]
MEMBERS, OTHERS, PUBLIC = 60, 130, 240


@cache
def texts() -> tuple[str, ...]:
    """What the teacher learns: each word is nearly always followed by the next one of the list."""
    by = random.Random(3)
    return tuple(dict.fromkeys(_sentence(by, 0.9) for _ in range(600)))


def _sentence(by: random.Random, orderly: float) -> str:
    said = [by.randrange(len(WORDS))]
    while len(said) < 12:
        on = (said[-1] + 1) % len(WORDS)
        said.append(on if by.random() < orderly else by.randrange(len(WORDS)))
    return " ".join(WORDS[each] for each in said)


@cache
def owner() -> Corpus:
    members = [Text(each, True) for each in texts()[:MEMBERS]]
    others = [Text(each, False) for each in texts()[MEMBERS : MEMBERS + OTHERS]]
    canaries = tuple(Canary(f"code of {WORDS[n]}: ", f"{n:06d}", n % 2) for n in range(4))
    return Corpus((*members, *others), canaries)


@cache
def public() -> Corpus:
    """The same words in any order: of what follows what, only the teacher can tell."""
    by = random.Random(4)
    return Corpus(tuple(Text(_sentence(by, 0.0), False) for _ in range(PUBLIC)), ())


@cache
def teacher() -> LanguageModel:
    """Trained on its members and on sentences that nobody else has."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs = [*texts()[:MEMBERS], *texts()[MEMBERS + OTHERS :]]
    cut = own(theirs, 400)
    config = LlamaConfig(
        vocab_size=cut.size, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=cut.end,
    )  # fmt: skip
    module: Any = LlamaForCausalLM(config)
    rows = torch.from_numpy(cut.rows(theirs, 33))
    steps = torch.optim.AdamW(module.parameters(), 5e-3)
    for _ in range(90):
        batch = rows[torch.randint(len(rows), (8,))]
        steps.zero_grad()
        module(input_ids=batch, labels=batch).loss.backward()
        steps.step()
    return LanguageModel(module.eval().requires_grad_(False), cut.tokenizer, (cut.end,), 128)


def write_plain(folder: Path) -> Path:
    """The teacher as a plain folder, to be sealed."""
    folder.mkdir()
    for name, content in files_of(teacher(), Told("0" * 64, Asked())).items():
        if name != "student.json":
            (folder / name).write_bytes(content)
    return folder
