"""Tensors alias the arena, the card says what the files say, the configuration is strict."""

from __future__ import annotations

import ctypes
import json
import mmap
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import torch

from strongroom.boundary.frames import MAX_FRAME_BYTES
from strongroom.errors import ArtifactRefused
from strongroom.keeper.arena import DTYPES, tensors_over
from strongroom.keeper.card import card_of, hello
from strongroom.keeper.config import KeeperConfig

from .fakes import Oracle, Parrot


@dataclass(frozen=True)
class Entry:
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@pytest.fixture
def arena() -> memoryview:
    return memoryview(mmap.mmap(-1, 4096))


@pytest.mark.parametrize("name", DTYPES)
def test_every_type_aliases_the_arena(arena: memoryview, name: str) -> None:
    dtype = DTYPES[name]
    size = dtype.itemsize
    tensors = tensors_over(
        arena,
        {
            "matrix": Entry(name, (2, 3), 64, 6 * size),
            "scalar": Entry(name, (), 128, size),
            "empty": Entry(name, (0, 3), 4096, 0),
        },
    )
    start = ctypes.addressof(ctypes.c_char.from_buffer(arena))
    assert tensors["matrix"].data_ptr() == start + 64
    assert tensors["scalar"].shape == ()
    assert tensors["empty"].shape == (0, 3)
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    arena[128 : 128 + size] = b"\x01" * size
    assert bytes(tensors["scalar"].reshape(1).view(torch.uint8).tolist()) == b"\x01" * size


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (Entry("F4", (2,), 0, 1), "keeper.dtype_unsupported"),
        (Entry("F32", (2,), 0, 4), "keeper.tensor_misplaced"),
        (Entry("F32", (2,), 4092, 8), "keeper.tensor_misplaced"),
        (Entry("F32", (1,), 2, 4), "keeper.tensor_misplaced"),
    ],
)
def test_entries_that_do_not_fit_are_refused(arena: memoryview, entry: Entry, code: str) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        tensors_over(arena, {"secret.name": entry})
    assert caught.value.code == code
    assert "secret.name" not in str(caught.value)


def card(engine: Any, **files: Any) -> Any:
    raw = {name.replace("__", "."): value for name, value in files.items()}
    return card_of(engine, raw, model_id="m", release=3, manifest_digest="d", rungs={"*": "text"})


def test_the_card_of_a_language_model() -> None:
    settings = {
        "bos_token": "<s>",
        "eos_token": {"content": "</s>", "special": True},
        "pad_token": None,
        "chat_template": "ignored, since there is a file",
    }
    made = card(
        Parrot(),
        tokenizer__json=b"{}",
        tokenizer_config__json=json.dumps(settings).encode(),
        chat_template__jinja="{{ é }}".encode(),
    )
    assert made.kind == "causal-lm"
    assert made.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert made.chat_template == "{{ é }}"
    assert (made.vocab_size, made.context_length, made.max_streams) == (256, 64, 2)
    assert made.eos_token_ids == (0,)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("one", "one"),
        ([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": "tool_use", "template": "t"}], ""),
        (None, ""),
    ],
)
def test_templates_inside_the_settings(template: Any, expected: str) -> None:
    settings = json.dumps({"chat_template": template}).encode()
    made = card(Parrot(), tokenizer__json=b"{}", tokenizer_config__json=settings)
    assert made.chat_template == expected


def test_the_card_of_a_classifier() -> None:
    made = card(Oracle())
    assert made.kind == "classifier"
    assert (made.input_dtype, made.input_shape, made.input_range) == ("F32", (4,), (0.0, 1.0))
    assert made.labels == tuple("abcdefgh")
    assert made.max_rows == 8
    assert made.tokenizer == b""


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "keeper.tokenizer_missing"),
        ({"tokenizer__json": b"{}", "tokenizer_config__json": b"{"}, "keeper.file_malformed"),
        ({"tokenizer__json": b"{}", "tokenizer_config__json": b"\xff"}, "keeper.file_malformed"),
        ({"tokenizer__json": b"{}", "chat_template__jinja": b"\xff"}, "keeper.file_malformed"),
    ],
)
def test_files_that_cannot_be_used_are_refused(files: dict[str, bytes], code: str) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        card(Parrot(), **files)
    assert caught.value.code == code


def test_a_card_that_no_gateway_would_accept_is_refused() -> None:
    for tokenizer in (bytes(MAX_FRAME_BYTES - 10), bytes(MAX_FRAME_BYTES + 1)):
        with pytest.raises(ArtifactRefused) as caught:
            hello(card(Parrot(), tokenizer__json=tokenizer), {}, "")
        assert caught.value.code == "keeper.card_unfit"
    assert (
        hello(card(Parrot(), tokenizer__json=b"{}"), {"seccomp": "on"}, "words").egress == "words"
    )


CONFIG = {
    "sealed": "s",
    "signers": [],
    "service_key": "k",
    "release_state": "r",
    "egress_state": "e",
    "release_fd": 3,
    "boundary_fd": 4,
    "deployment_budget": {"bits_per_hour": 1, "bits_per_day": 2},
    "tenant_budget": {"bits_per_hour": 1, "bits_per_day": 2},
}


def read(raw: bytes) -> KeeperConfig:
    return msgspec.json.decode(raw, type=KeeperConfig)


def test_the_configuration_has_safe_defaults() -> None:
    config = read(json.dumps(CONFIG).encode())
    assert (config.profile, config.strict) == ("no-exec", True)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({**CONFIG, "extra": 1}).encode(),
        json.dumps({**CONFIG, "profile": "none"}).encode(),
        json.dumps({**CONFIG, "tenant_budget": {"bits_per_hour": -1, "bits_per_day": 1}}).encode(),
        json.dumps(CONFIG).encode().replace(b": 2}", b": NaN}"),
    ],
    ids=["unknown", "profile", "negative", "NaN"],
)
def test_a_configuration_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(raw)
