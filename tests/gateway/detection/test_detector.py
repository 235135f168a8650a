"""The entry point: what speaks, what stays silent, what a signal does, and what is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from strongroom.gateway.detection import clusters, detector
from strongroom.gateway.detection.detector import Detector
from strongroom.gateway.detection.interface import DetectionConfig, Rows, Signal, Thresholds

SECRET = b"a secret of tests"


def zipf(generator: random.Random, length: int) -> list[int]:
    """Something like language: common tokens are common."""
    return [min(30_000, int(generator.paretovariate(0.7))) for _ in range(length)]


def grid(generator: random.Random) -> Iterator[list[int]]:
    lists = [[random.Random(7 + slot).sample(range(30_000), 9)] for slot in range(4)]
    seen = set()
    while True:
        chosen = [generator.choice(fillers[0]) for fillers in lists]
        if tuple(chosen) not in seen:
            seen.add(tuple(chosen))
            a, b, c, d = chosen
            yield [*range(480, 490), a, 502, b, 503, 504, c, 505, d, 506]


def run(found: Detector, organisation: str, prompts: list[list[int]]) -> list[Signal]:
    return [s for i, p in enumerate(prompts) for s in found.observe(organisation, "k", p, float(i))]


def test_a_grid_speaks_once_and_language_does_not() -> None:
    generator = random.Random(1)
    prompts = grid(generator)
    found = Detector(secret=SECRET)
    signals = run(found, "thief", [next(prompts) for _ in range(400)])
    assert [s.kind for s in signals] == ["grid"]
    assert signals[0].subjects == ("thief",)
    assert signals[0].score > signals[0].threshold
    assert "1 key" in signals[0].explanation
    assert run(found, "guest", [zipf(generator, 60) for _ in range(400)]) == []


def test_the_same_prompt_over_and_over_is_no_grid() -> None:
    found = Detector(secret=SECRET)
    assert run(found, "health", [[1, 2, 3, 4, 5, 6, 7, 8]] * 400) == []


def test_a_walk_over_the_vocabulary_speaks() -> None:
    generator = random.Random(2)
    prompts = [[generator.randrange(30_000) for _ in range(40)] for _ in range(300)]
    assert "coverage" in {s.kind for s in run(Detector(secret=SECRET), "thief", prompts)}


def test_one_grid_over_many_accounts_speaks_though_no_account_is_seen_enough() -> None:
    generator = random.Random(3)
    prompts = grid(generator)
    found = Detector(secret=SECRET)
    signals: list[Signal] = []
    for number in range(800):
        signals += found.observe(f"o{number % 100}", "k", next(prompts), float(number))
    assert {s.kind for s in signals} == {"spread", "spread_grid"}
    assert {s.kind for s in signals if len(s.subjects) > 10} >= {"spread"}
    assert all(len(s.subjects) >= 4 for s in signals)


def test_counts_fade_and_a_shared_template_is_forgotten() -> None:
    generator = random.Random(12)
    prompts = grid(generator)
    found = Detector(DetectionConfig(thresholds=Thresholds(window=1000)), secret=SECRET)
    for number in range(1200):
        found.observe(f"o{number % 60}", "k", next(prompts), number / 10)
    shared = found._clusters
    before = max(cluster.spread for cluster in shared._clusters.values())
    for number, start in enumerate((600.0, 1200.0, 1800.0, 2400.0)):
        found.observe("o1", "k", next(prompts), start + number)
    after = max(len(c.faithful(shared.prompts)) for c in shared._clusters.values() if c.era == 5)
    assert (before, after) == (60, 0)


def test_what_every_prompt_of_a_model_holds_joins_nobody() -> None:
    """Positive and negative control: the same prefix, declared common or not."""
    generator = random.Random(4)
    common = zipf(generator, 30)

    def spread(found: Detector) -> set[str]:
        kinds: set[str] = set()
        for number in range(600):
            prompt = [*common, *random.Random(number).sample(range(30_000), 4)]
            kinds |= {s.kind for s in found.observe(f"o{number % 60}", "k", prompt, float(number))}
        return kinds & {"spread"}

    assert spread(Detector(secret=SECRET)) == {"spread"}
    assert spread(Detector(secret=SECRET, common=common)) == set()


def images(generator: np.random.Generator, synthetic: bool) -> Iterator[Rows]:
    """Honest ones are mixtures; synthetic ones lie a step from earlier ones, as Papernot's do."""
    mixing = np.random.default_rng(99).normal(0, 1, (64, 64))
    earlier: list[np.ndarray] = []
    for number in range(400):
        fresh = generator.normal(0, 1, 64) @ mixing
        image = fresh
        if synthetic and number >= 60:
            image = earlier[number % 60] + 0.1 * np.sign(generator.normal(0, 1, 64))
        earlier.append(image)
        yield Rows(image.astype("<f4").tobytes(), "F32", 1, (0,))


@pytest.mark.parametrize("synthetic", [True, False])
def test_inputs_made_from_one_another(synthetic: bool) -> None:
    found = Detector(DetectionConfig(thresholds=Thresholds(distances=0.15)), secret=SECRET)
    kinds = set()
    for now, rows in enumerate(images(np.random.default_rng(5), synthetic)):
        kinds |= {s.kind for s in found.observe("o", "k", rows, float(now))}
    assert kinds == ({"distances"} if synthetic else set())


def test_foreign_inputs_lie_outside_the_population() -> None:
    generator = np.random.default_rng(6)
    found = Detector(DetectionConfig(thresholds=Thresholds(distances=1)), secret=SECRET)
    kinds: dict[str, set[str]] = {"thief": set(), "guest": set()}
    for number in range(2000):
        name = ("thief", "guest", "a", "b", "c")[number % 5]
        scale = 10 if name == "thief" else 1
        rows = Rows(generator.normal(0, scale, 64).astype("<f4").tobytes(), "F32", 1, (0,))
        for signal in found.observe(name, "k", rows, float(number)):
            kinds[signal.subjects[0]].add(signal.kind)
    assert kinds == {"thief": {"outlying"}, "guest": set()}


@pytest.mark.parametrize("action", ["record", "throttle", "suspend"])
def test_a_signal_does_what_the_policy_says_and_for_so_long(action: str) -> None:
    policy = DetectionConfig(action=action, factor=7, seconds=100)  # type: ignore[arg-type]
    found = Detector(policy, secret=SECRET)
    prompts = grid(random.Random(8))
    raised = -1.0
    for number in range(300):
        if found.observe("thief", "k", next(prompts), float(number)):
            raised = float(number)
    standing = found.standing("thief", raised + 99)
    assert standing.suspended is (action == "suspend")
    assert standing.factor == (7 if action == "throttle" else 1)
    after = found.standing("thief", raised + 101)
    assert (after.suspended, after.factor) == (False, 1)
    assert found.standing("guest", raised).factor == 1


def test_the_state_tells_what_was_seen_and_shows_signals_of_the_window_only() -> None:
    found = Detector(secret=SECRET)
    prompts = grid(random.Random(9))
    run(found, "thief", [next(prompts) for _ in range(200)])
    assert (found.state.queries, found.state.organisations) == (200, 1)
    assert found.state.raised["grid"] == 1
    assert [s.kind for s in found.state.active] == ["grid"]
    found.observe("guest", "k", [1, 2, 3], 200_000.0)
    assert found.state.active == ()
    assert found.state.raised["grid"] == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "MOST_ORGANISATIONS", 8)
    monkeypatch.setattr(clusters, "MOST_CLUSTERS", 32)
    monkeypatch.setattr(clusters, "MOST_STREAMS", 2)
    monkeypatch.setattr(clusters, "MOST_MEMBERS", 5)
    generator = random.Random(10)
    found = Detector(secret=SECRET)
    for number in range(500):
        prompt = [number % 7] * 12 + zipf(generator, 5)
        found.observe(f"o{number % 50}", f"k{number}", prompt, float(number))
    assert found.state.organisations == 8
    assert found.state.clusters == 32
    shared = found._clusters
    assert sum(c.stream is not None for c in shared._clusters.values()) <= 2
    assert max(len(c.members) for c in shared._clusters.values()) <= 5


def test_short_and_long_prompts_are_taken() -> None:
    found = Detector(secret=SECRET)
    for length in (0, 1, 2, 3, 4, 255, 256, 257, 5000):
        assert found.observe("o", "k", list(range(length)), 0.0) == ()
    assert found.observe("o", "k", [2**31 - 1] * 8, 0.0) == ()


def test_nothing_kept_depends_on_a_prompt_but_by_the_secret() -> None:
    """The same prompts under two secrets leave tables that have nothing in common but counts."""
    prompts = [zipf(random.Random(n), 50) for n in range(70)]
    kept = []
    for secret in (SECRET, SECRET, b"another secret..."):
        found = Detector(secret=secret)
        run(found, "o", prompts)
        stream = found._organisations["o"].recombination
        assert stream is not None
        kept.append((set(found._clusters._clusters), np.flatnonzero(stream._last_seen).tolist()))
    assert kept[0] == kept[1]
    assert not kept[0][0] & kept[2][0]
    assert kept[0][1] != kept[2][1]


def test_a_silent_organisation_starts_anew() -> None:
    found = Detector(DetectionConfig(thresholds=Thresholds(window=10)), secret=SECRET)
    prompts = grid(random.Random(11))
    signals = [found.observe("slow", "k", next(prompts), 11.0 * n) for n in range(300)]
    assert not any(signals)
