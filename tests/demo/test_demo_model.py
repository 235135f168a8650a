"""Conversion of the demonstration's model: exact, atomic, done once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from demo import model
from demo.safetensors_file import TensorSource, write_safetensors


def test_rounding_to_bf16_is_that_of_torch() -> None:
    generator = np.random.default_rng(5)
    values = generator.standard_normal(100_000).astype(np.float32)
    ties = np.array([0x3F808000, 0x3F818000, 0x3F807FFF, 0x80000000, 0], np.uint32)
    values = np.concatenate([values, ties.view(np.float32)])
    ours = model.to_bf16(values)
    theirs = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(ours, theirs)


def test_safetensors_are_read_back_by_the_library(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    halves = model.to_bf16(array)
    path = tmp_path / "m.safetensors"
    write_safetensors(
        path,
        {
            "b": TensorSource("F32", (2, 3), lambda: array),
            "a": TensorSource("BF16", (2, 3), lambda: halves),
        },
    )
    found = load_file(path)
    assert found["b"].tolist() == array.tolist()
    assert found["a"].dtype is torch.bfloat16
    assert found["a"].tolist() == array.tolist()


def test_a_source_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    source = TensorSource("F32", (4,), lambda: np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="expected 16"):
        write_safetensors(tmp_path / "m.safetensors", {"a": source})


def test_an_unknown_gguf_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF and no more")
    monkeypatch.setattr(model, "find_gguf", lambda: other)
    with pytest.raises(ValueError, match="SHA-256"):
        model.ensure_model(tmp_path / "cache" / "model")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_half_made_folder_is_not_taken_for_whole(tmp_path: Path) -> None:
    assert not model.is_whole(tmp_path / "absent")
    assert not model.is_whole(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not model.is_whole(tmp_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        model.find_gguf()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return model.ensure_model(tmp_path_factory.mktemp("cache") / "model")


@pytest.mark.model
def test_the_conversion_gives_the_pinned_bytes(converted: Path) -> None:
    assert model.digests(converted) == model.PRODUCED_SHA256


@pytest.mark.model
def test_a_second_run_writes_nothing(converted: Path) -> None:
    before = {path.name: path.stat().st_ino for path in converted.iterdir()}
    assert model.ensure_model(converted) == converted
    assert {path.name: path.stat().st_ino for path in converted.iterdir()} == before


@pytest.mark.model
def test_what_another_recipe_made_is_made_again(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = {**model.PRODUCED_SHA256, "tokenizer.json": "0" * 64}
    monkeypatch.setattr(model, "PRODUCED_SHA256", older)
    assert not model.is_whole(converted)


@pytest.mark.model
@pytest.mark.parametrize(
    "text", ["in 2024", "a  12", "a \t 1", "x²+y³", "٣٤ and ½", "don't", "3.14e-10", "v2x  y"]
)
def test_text_is_cut_as_the_models_own_tokenizer_cuts_it(converted: Path, text: str) -> None:
    """The metadata says ``smollm``: in llama.cpp two patterns, one after the other."""
    import regex
    from tokenizers import Tokenizer

    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    pieces = regex.findall(r"\p{N}|[^\p{N}]+", text)
    expected = [word for piece in pieces for word in regex.findall(words, piece)]
    cut = Tokenizer.from_file(str(converted / "tokenizer.json")).pre_tokenizer
    assert [text[a:b] for _, (a, b) in cut.pre_tokenize_str(text)] == expected


@pytest.mark.model
def test_digits_are_cut_before_spaces_are_gathered(converted: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(converted / "tokenizer.json"))
    assert tokenizer.encode("a  12").tokens == ["a", "ĠĠ", "1", "2"]


@pytest.mark.model
def test_damage_is_noticed_and_mended(converted: Path) -> None:
    body = converted / "model.safetensors"
    with body.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert not model.is_whole(converted)
    model.ensure_model(converted)
    assert model.is_whole(converted)
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


@pytest.mark.model
def test_the_library_reads_the_tokenizer(converted: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(converted / "tokenizer.json"))
    config = json.loads((converted / "config.json").read_text())
    assert tokenizer.get_vocab_size() == config["vocab_size"] == 49_152
    ids = tokenizer.encode("<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n").ids
    assert ids[0] == config["bos_token_id"]
    assert config["eos_token_id"] in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "user\nWhat is 12 + 30?\n"
