"""What goes in comes out, bit by bit, whatever the model is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from strongroom.artifact import dtypes
from strongroom.artifact.opening import open_sealed, read_sealed_index
from strongroom.artifact.policy import DisclosurePolicy, EgressCeiling
from strongroom.artifact.verify import verify

from .models import (
    TRUST,
    Tensors,
    seal_model,
    some_tensors,
    write_model,
    write_sharded,
)


def contents(opened: object) -> Tensors:
    return {
        name: (t.dtype, t.shape, bytes(opened.arena[t.offset : t.offset + t.nbytes]))  # type: ignore[attr-defined]
        for name, t in opened.tensors.items()  # type: ignore[attr-defined]
    }


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_one_shard(tmp_path: Path, strict: bool, threads: int) -> None:
    tensors = some_tensors()
    sealed = seal_model(write_model(tmp_path / "m", tensors), tmp_path / "s")
    opened = open_sealed(
        sealed.folder, sealed.key, trust=TRUST, state=None, strict=strict, threads=threads
    )
    assert contents(opened) == tensors
    assert opened.files["config.json"] == b'{"model_type": "small"}'
    assert set(opened.files) == {"config.json", "tokenizer.json"}
    assert opened.manifest == sealed.manifest
    assert all(t.offset % 64 == 0 for t in opened.tensors.values())


def test_every_type_that_safetensors_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    tensors: Tensors = {}
    for dtype, bits in dtypes.BITS.items():
        tensors[f"of {dtype}"] = (dtype, (4, 6), rng.bytes(24 * bits // 8))
    opened = seal_model(write_model(tmp_path / "m", tensors), tmp_path / "s").open()
    assert contents(opened) == tensors


def test_scalars_empty_tensors_and_foreign_names(tmp_path: Path) -> None:
    tensors: Tensors = {
        "empty at the start": ("F32", (0,), b""),
        "scalar": ("I64", (), b"12345678"),
        "empty": ("F32", (3, 0, 5), b""),
        '名前 \U0001f600 "quoted" \\ \x01': ("U8", (1,), b"x"),
        "": ("BF16", (1,), b"ab"),
        "empty at the end": ("F16", (0, 7), b""),
    }
    opened = seal_model(write_model(tmp_path / "m", tensors), tmp_path / "s").open()
    assert contents(opened) == tensors


@pytest.mark.parametrize("tensors", [{}, {"nothing": ("F32", (0,), b"")}])
def test_models_without_a_byte_of_weights(tmp_path: Path, tensors: Tensors) -> None:
    sealed = seal_model(write_model(tmp_path / "m", tensors), tmp_path / "s")
    verify(sealed.folder, trust=TRUST)
    assert contents(sealed.open()) == tensors


def test_shards_share_one_arena(tmp_path: Path) -> None:
    shards = [some_tensors(seed=1), {"b": ("U8", (3,), b"abc")}, {"c": ("F64", (), bytes(8))}]
    sealed = seal_model(write_sharded(tmp_path / "m", shards), tmp_path / "s")
    assert contents(sealed.open()) == {**shards[0], **shards[1], **shards[2]}
    assert [p.name for p in sealed.manifest.parts[2:]] == [
        f"weights-{i:05}-of-00003.floe" for i in (1, 2, 3)
    ]
    assert "model.safetensors.index.json" not in sealed.open().files


def test_segments_of_a_mebibyte(tmp_path: Path) -> None:
    tensors = some_tensors(count=5, elements=200_003)
    sealed = seal_model(write_model(tmp_path / "m", tensors), tmp_path / "s")
    assert sealed.manifest.parameters.segment_bytes == 1024 * 1024
    assert sealed.manifest.parts[2].segments == 4
    assert contents(sealed.open()) == tensors


def test_an_adapter(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"r": 8}')
    opened = seal_model(folder, tmp_path / "s").open()
    assert contents(opened) == some_tensors()
    assert opened.files["adapter_config.json"] == b'{"r": 8}'


def test_the_policy_travels_with_the_model(tmp_path: Path) -> None:
    policy = DisclosurePolicy({"*": "closed", "acme": "topk"}, EgressCeiling(10, 20), None)
    sealed = seal_model(write_model(tmp_path / "m"), tmp_path / "s", policy=policy)
    assert sealed.open().policy == policy
    assert sealed.manifest.policy_digest == policy.digest
    assert [policy.rung_for(t) for t in ("acme", "else")] == ["topk", "closed"]
    assert DisclosurePolicy({}).rung_for("anyone") == "closed"


def test_the_index_alone(tmp_path: Path) -> None:
    sealed = seal_model(write_model(tmp_path / "m"), tmp_path / "s")
    index = read_sealed_index(sealed.folder, sealed.key, trust=TRUST)
    opened = sealed.open()
    assert (index.tensors, index.files, index.policy) == (
        opened.tensors,
        opened.files,
        opened.policy,
    )
    assert not hasattr(index, "arena")


def test_torch_sees_the_arena_without_a_copy(tmp_path: Path) -> None:
    original = {"w": torch.randn(64, 33, dtype=torch.bfloat16), "b": torch.arange(7)}
    folder = write_model(tmp_path / "m")
    save_file(original, folder / "model.safetensors")
    opened = seal_model(folder, tmp_path / "s").open()
    for name, expected in load_file(folder / "model.safetensors").items():
        entry = opened.tensors[name]
        seen = torch.frombuffer(
            opened.arena, dtype=expected.dtype, count=expected.numel(), offset=entry.offset
        ).reshape(entry.shape)
        assert torch.equal(seen, expected)
        assert seen.data_ptr() % 64 == 0
    opened.wipe()
    assert not any(opened.arena)
    assert not seen.any()


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    sealed = seal_model(write_model(tmp_path / "m"), tmp_path / "s")
    told: list[tuple[int, int]] = []
    verify(sealed.folder, trust=TRUST, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == sum(p.length for p in sealed.manifest.parts) - 74 * 3
    assert sorted(told) == told


@pytest.mark.model
def test_a_real_model(smollm2_dir: Path, tmp_path: Path) -> None:
    sealed = seal_model(smollm2_dir, tmp_path / "s", model_id="smollm2")
    opened = sealed.open()
    for name, expected in load_file(smollm2_dir / "model.safetensors").items():
        entry = opened.tensors[name]
        seen = opened.arena[entry.offset : entry.offset + entry.nbytes]
        assert seen == memoryview(expected.contiguous().view(torch.uint8).numpy()).cast("B")
    tokenizer = (smollm2_dir / "tokenizer.json").read_bytes()
    assert opened.files["tokenizer.json"] == tokenizer
