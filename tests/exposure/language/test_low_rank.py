"""Base from merged adapters: exact where it can be, silent where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from strongroom.exposure.attacks.language.low_rank import recover
from strongroom.exposure.attacks.language.merged_adapters import MergedAdapters
from strongroom.exposure.attacks.language.spectral_detuning import detune
from strongroom.exposure.interface import Facts, Knowledge, Knows
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny


def weight(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * 0.05


def part(shape: tuple[int, int], rank: int, seed: int) -> np.ndarray:
    by = np.random.default_rng(seed)
    return by.standard_normal((shape[0], rank)) @ by.standard_normal((rank, shape[1])) * 0.004


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("shape", [(96, 96), (128, 64), (64, 160)])
@pytest.mark.parametrize("ranks", [(8, 8, 8), (2, 8, 4), (1, 1, 1), (4, 4, 4, 4)])
@pytest.mark.parametrize(("kind", "limit"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_the_base_comes_back(
    shape: tuple[int, int], ranks: tuple[int, ...], kind: type, limit: float
) -> None:
    base = weight(shape)
    merges = [(base + part(shape, r, n + 1)).astype(kind) for n, r in enumerate(ranks)]
    found = recover(merges)
    assert found is not None
    assert found.ranks == ranks[:3]
    assert error(found.base, base) < limit


def test_it_agrees_with_spectral_detuning() -> None:
    base = weight((64, 64))
    merges = [base + part((64, 64), 4, n) for n in range(1, 4)]
    found = recover(merges)
    assert found is not None
    assert error(found.base, detune(merges, 4, steps=400)) < 1e-4


def test_it_claims_nothing_where_adapters_share_directions_or_fill_the_space() -> None:
    shape, base = (64, 64), weight((64, 64))
    same = np.random.default_rng(9).standard_normal((4, 64))
    shared = [base + np.random.default_rng(n).standard_normal((64, 4)) @ same for n in range(3)]
    assert recover(shared) is None
    assert recover([base + part(shape, 40, n) for n in range(1, 4)]) is None
    assert recover([base, base, base]) is None


def test_two_merges_are_too_few() -> None:
    with pytest.raises(ValueError, match="three"):
        recover([weight((8, 8))] * 2)


def attack(adapter: dict[str, torch.Tensor]) -> Facts:
    target = open_language(tiny.language(tiny.base()), Rung.ADAPTER, tiny.PLENTY, adapter=adapter)
    (claim,) = MergedAdapters().run(target, Knowledge(Knows.NOTHING), tiny.PLENTY, 0)
    assert isinstance(claim, Facts)
    return claim


def test_positive_and_negative_control_through_the_target() -> None:
    base = weight((96, 64))
    releases = {
        f"{n}/layer.weight": torch.from_numpy((base + part((96, 64), 4, n)).astype(np.float32))
        for n in (1, 2, 3)
    }
    judge = FactsJudge({"layer.weight": Truth(base, within=1e-6)}, "the base")
    assert judge.judge([attack(releases)]).figures[0].measured.value == 1.0
    two = {name: values for name, values in releases.items() if not name.startswith("3")}
    assert judge.judge([attack(two)]).figures[0].measured.value == 0.0
    unrelated = {f"{n}/layer.weight": torch.from_numpy(weight((96, 64), n)) for n in (1, 2, 3)}
    assert judge.judge([attack(unrelated)]).figures[0].measured.value == 0.0
