"""Reference pools: balanced, stacked or one by one alike, cached, and never read when spoilt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from strongroom.exposure.attacks.vision.recipe import Recipe, logits_of, one_thread, train
from strongroom.exposure.attacks.vision.references import cached_references, halves
from strongroom.exposure.attacks.vision.stack import train_stack

from .world import RECIPE, digits

SHORT = replace(RECIPE, epochs=6)


def _data(rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    records = digits()[0]
    return torch.from_numpy(records.inputs[:rows]), torch.from_numpy(records.labels[:rows])


def test_every_record_is_in_half_of_the_models() -> None:
    masks = halves(8, 101, 0)
    assert masks.sum(1).tolist() == [50] * 8
    assert (masks.sum(0) <= 4).all()
    assert (masks.sum(0) == 4).sum() >= 97
    assert not torch.equal(masks, halves(8, 101, 1))


def test_a_stack_learns_what_single_models_learn() -> None:
    inputs, labels = _data(600)
    masks = halves(6, 600, 0)
    stacked = train_stack(RECIPE, inputs, labels, masks, 3)
    single = train(RECIPE, inputs[masks[0]], labels[masks[0]], 3)
    held = _data(1000)
    for network in [*stacked, single]:
        right = logits_of(network, held[0][600:]).argmax(1) == held[1][600:]
        assert right.float().mean() > 0.88
    seen = [
        (logits_of(n, inputs[m]).argmax(1) == labels[m]).float().mean()
        for n, m in zip(stacked, masks, strict=True)
    ]
    assert min(seen) > 0.97


def test_convolutions_and_uneven_shares_are_not_stacked() -> None:
    conv = Recipe(({"type": "conv2d", "name": "a", "channels": 2, "kernel": 2},), (1, 2, 2))
    masks = torch.ones(2, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="perceptrons"):
        train_stack(conv, torch.zeros(4, 1, 2, 2), torch.zeros(4).long(), masks, 0)
    masks[0, 0] = False
    with pytest.raises(ValueError, match="equally many"):
        train_stack(SHORT, torch.zeros(4, 64), torch.zeros(4).long(), masks, 0)


def test_a_pool_is_made_once_and_a_spoilt_file_is_made_again(tmp_path: Path) -> None:
    inputs, labels = _data()
    first = cached_references(tmp_path, SHORT, inputs, labels, 4, 0)
    (file,) = tmp_path.glob("*.npz")
    written = file.stat().st_mtime_ns
    second = cached_references(tmp_path, SHORT, inputs, labels, 4, 0)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(first.members, second.members)
    assert torch.equal(first.logits(inputs), second.logits(inputs))
    file.write_bytes(file.read_bytes()[:100])
    third = cached_references(tmp_path, SHORT, inputs, labels, 4, 0)
    assert torch.equal(first.logits(inputs), third.logits(inputs))
    cached_references(tmp_path, SHORT, inputs, labels, 4, 1)
    assert len(list(tmp_path.glob("*.npz"))) == 2, "another seed is another pool"


def test_training_leaves_the_callers_random_numbers_and_threads_alone() -> None:
    inputs, labels = _data()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(SHORT, inputs, labels, 0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    with one_thread():
        assert torch.get_num_threads() == 1
