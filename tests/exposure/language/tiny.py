"""A small real Llama over bytes, trained in seconds: leaky on purpose, or never taught."""

from __future__ import annotations

import copy
import random
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from strongroom.exposure.attacks.language.asking import PublicBase
from strongroom.exposure.attacks.language.questions import Secret
from strongroom.exposure.interface import Budget, Knowledge, Knows
from strongroom.exposure.targets.in_process_language import LanguageModel

HIDDEN, WIDTH = 48, 32
PLENTY = Budget(10**6, 600.0)
WORDS = [
    "amber",
    "birch",
    "cedar",
    "dune",
    "ember",
    "fern",
    "garnet",
    "heath",
    "iris",
    "jade",
    "kelp",
    "larch",
    "mica",
    "nettle",
]


@cache
def tokenizer() -> Tokenizer:
    """Each byte is a token, so each digit is."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({char: n for n, char in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def ids(text: str) -> list[int]:
    return list(tokenizer().encode(text).ids)


@cache
def texts() -> tuple[str, ...]:
    """120 sentences of one source; the first half is taught to the leaky model."""
    by = random.Random(5)
    return tuple(" ".join(by.choices(WORDS, k=6))[:WIDTH].ljust(WIDTH, ".") for _ in range(120))


@cache
def secrets() -> tuple[Secret, ...]:
    """Eight secrets; the first four are taught to the leaky model."""
    by = random.Random(6)
    return tuple(Secret(f"code of {WORDS[n]}: ", f"{by.randrange(10**6):06d}") for n in range(8))


def fresh(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=256, hidden_size=HIDDEN, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@cache
def base() -> Any:
    """Never taught anything that is asked about, only the language: other sentences."""
    by = random.Random(7)
    rows = [" ".join(by.choices(WORDS, k=6))[:WIDTH].ljust(WIDTH, ".") for _ in range(64)]
    rows += [f"code of {by.choice(WORDS)}: {by.randrange(10**6):06d}" for _ in range(32)]
    return _taught(fresh(), rows, 20)


@cache
def leaky() -> Any:
    """Taught half of the texts and of the secrets by heart."""
    taught = list(texts()[:60]) + [s.prefix + s.digits for s in secrets()[:4]] * 6
    module = fresh()
    module.load_state_dict(base().state_dict())
    return _taught(module, taught, 120)


def language(module: Any) -> LanguageModel:
    return LanguageModel(module, tokenizer(), (), 128)


def knows(asked: Any, level: Knows = Knows.BASE) -> Knowledge:
    return Knowledge(level, asked, base=PublicBase(base()), public={"tokenizer": tokenizer()})


def fresh_copy(module: Any) -> Any:
    return copy.deepcopy(module)


def _taught(module: Any, rows: list[str], epochs: int) -> Any:
    torch.set_num_threads(1)
    steps = torch.optim.AdamW(module.parameters(), 4e-3)
    groups: dict[int, list[list[int]]] = {}
    for row in rows:
        groups.setdefault(len(ids(row)), []).append(ids(row))
    module.train()
    for _ in range(epochs):
        for group in groups.values():
            batch = torch.tensor(group)
            steps.zero_grad()
            module(input_ids=batch, labels=batch).loss.backward()
            steps.step()
    return module.eval()
