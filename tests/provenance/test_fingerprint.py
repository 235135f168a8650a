"""Copies are found however they are disguised; what is none is not accused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch

from strongroom.errors import ArtifactRefused
from strongroom.provenance.compare import LEAST, LEVEL, compare, likeness, tail
from strongroom.provenance.decoder import Decoder
from strongroom.provenance.fingerprint import Fingerprint, decode, encode, share, take
from tests.provenance import copies
from tests.provenance.copies import COPIES, DISGUISES, WORDS, altered, body_anew, tiny

MANIFEST = "ab" * 32


def taken(model: Decoder, seed: bytes = b"s" * 32) -> Fingerprint:
    return take(model, name="tiny", release=1, manifest=MANIFEST, seed=seed)


@pytest.fixture(scope="module")
def registered() -> Fingerprint:
    return taken(tiny(0))


@pytest.fixture(scope="module")
def library() -> list[Decoder]:
    """Nine, of other depths and widths too."""
    return [tiny(seed, layers=4 + seed % 3, width=32 + 16 * (seed % 2)) for seed in range(1, 10)]


@pytest.mark.parametrize("change", COPIES, ids=lambda change: str(change.__name__))
def test_every_copy_is_found(
    change: object, registered: Fingerprint, library: list[Decoder]
) -> None:
    found = compare(registered, altered(tiny(0), change), library)  # type: ignore[arg-type]
    assert found.verdict == "copy"
    assert found.p < LEVEL
    assert found.rank_p == pytest.approx(1 / 10)


@pytest.mark.parametrize("change", DISGUISES, ids=lambda change: str(change.__name__))
def test_disguises_keep_the_function_and_change_every_matrix(change: object) -> None:
    model = tiny(0)
    disguised = altered(model, change)  # type: ignore[arg-type]
    ids = torch.arange(40).reshape(2, 20)
    torch.testing.assert_close(answers(disguised, ids), answers(model, ids), rtol=1e-3, atol=1e-3)
    name = "model.layers.2.self_attn.v_proj.weight"
    ours, theirs = model.tensors[name].flatten(), disguised.tensors[name].flatten()
    assert abs(float(torch.cosine_similarity(ours, theirs, dim=0))) < 0.2


def answers(model: Decoder, ids: torch.Tensor) -> torch.Tensor:
    """Logits by ``transformers``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    layers = sum(name.endswith("q_proj.weight") for name in model.tensors)
    config = LlamaConfig(
        vocab_size=len(model.embedding()),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
        rms_norm_eps=1e-12,
    )
    module = LlamaForCausalLM(config)
    module.load_state_dict(dict(model.tensors))
    with torch.no_grad():
        return module.eval()(input_ids=ids).logits


def test_independent_models_and_taken_embeddings_are_not_accused(
    registered: Fingerprint, library: list[Decoder]
) -> None:
    for place, suspect in enumerate(library):
        others = [*library[:place], *library[place + 1 :]]
        assert compare(registered, suspect, others).verdict == "no copy found"
    anew = compare(registered, altered(tiny(0), body_anew), library)
    assert anew.verdict == "no copy found"
    assert anew.suspect.value < LEAST / 2


def test_layers_are_matched_in_order(registered: Fingerprint) -> None:
    found = likeness(registered, altered(tiny(0), copies.third_dropped))
    assert found.matched == ((0, 0), (1, 2), (2, 3), (3, 5))
    assert found.value > 0.99


def test_the_seed_is_needed_to_compare(registered: Fingerprint) -> None:
    """Sketches under two seeds have nothing to do with each other: a seed can be kept back."""
    other = replace_seed(registered, b"t" * 32)
    assert abs(likeness(other, tiny(0)).value) < 0.2


def replace_seed(fingerprint: Fingerprint, seed: bytes) -> Fingerprint:
    return msgspec.structs.replace(fingerprint, seed=seed)


def test_another_vocabulary_lessens_a_copy_and_is_refused_when_too_foreign(
    registered: Fingerprint,
) -> None:
    def renamed(part: int) -> Decoder:
        words = [f"x{word}" if number % 10 < part else word for number, word in enumerate(WORDS)]
        return replace(tiny(0, words=words), name="foreign")

    some = likeness(registered, renamed(2))
    assert share(renamed(2), registered.anchors) == pytest.approx(0.8, abs=0.05)
    assert LEAST < some.value < 0.95
    with pytest.raises(ArtifactRefused) as refusal:
        likeness(registered, renamed(7))
    assert refusal.value.code == "provenance.anchors_missing"


def test_a_library_must_be_large_enough_and_independent(
    registered: Fingerprint, library: list[Decoder]
) -> None:
    with pytest.raises(ArtifactRefused) as small:
        compare(registered, tiny(0), library[:7])
    assert small.value.code == "provenance.library_too_small"
    with pytest.raises(ArtifactRefused) as tainted:
        compare(registered, tiny(0), [*library, altered(tiny(0), copies.tuned)])
    assert tainted.value.code == "provenance.library_not_independent"


def test_a_fingerprints_file_is_read_back_or_refused(registered: Fingerprint) -> None:
    raw = encode(registered)
    assert decode(raw, "f") == registered
    short = msgspec.structs.replace(registered, layers=(b"x",))
    for bad in (raw[:-1], raw + b"\0", b"", encode(short)):
        with pytest.raises(ArtifactRefused) as refusal:
            decode(bad, "f")
        assert refusal.value.code == "provenance.fingerprint_malformed"
    assert registered.seed.hex() not in repr(registered)
    assert repr(registered.seed) not in repr(registered)


@pytest.mark.parametrize("bad", ["nan", "missing", "shape"])
def test_a_suspect_that_is_no_model_is_refused(registered: Fingerprint, bad: str) -> None:
    model = tiny(0)
    tensors = dict(model.tensors)
    name = "model.layers.3.self_attn.k_proj.weight"
    if bad == "nan":
        tensors[name] = tensors[name].clone()
        tensors[name][0, 0] = torch.nan
    elif bad == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:-1]
    with pytest.raises(ArtifactRefused) as refusal:
        likeness(registered, replace(model, tensors=tensors))
    assert refusal.value.code == "provenance.model_unreadable"


def test_students_t_is_that_of_the_tables() -> None:
    assert tail(4.297, 9) == pytest.approx(0.001, rel=1e-2)
    assert tail(0.0, 9) == pytest.approx(0.5)
    assert tail(-2.262, 9) == pytest.approx(0.975, rel=1e-3)
