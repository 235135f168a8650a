"""Private steps: clipping as a slow reference has it, noise of the right size, less to be told."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.dp_membership import bound, tuned
from strongroom.tune.adapter import Seed
from strongroom.tune.dataset import Example
from strongroom.tune.job import Job, State
from strongroom.tune.policy import Private
from strongroom.tune.private_step import add_noise, clipped_sum

from .tiny import counting, recipe, tiny


@pytest.fixture(scope="module")
def base():
    _, config, tensors = tiny()
    return config, tensors


def private(noise: float = 1.0, share: float = 0.25, clip: float = 0.5) -> Private:
    return Private(epsilon=1.0, delta=1e-5, clip=clip, noise=noise, share=share)


def begun(base, **fields) -> Job:
    """A job whose B is not zero, so that both matrices have gradients."""
    made = Job(*base, counting(24).examples, recipe(**fields))
    torch.manual_seed(2)
    values = {name: torch.zeros_like(each) for name, each in made.state.tensors.items()}
    values["values"] = 0.05 * torch.randn_like(values["values"])
    return Job(*base, counting(24).examples, recipe(**fields), State(0, Seed(bytes(32)), values))


def reference(job: Job, example: Example) -> torch.Tensor:
    """The gradient of one conversation's mean loss through whole logits and plain autograd."""
    leaves = [matrix for pair in job._flat.pairs.values() for matrix in pair]
    logits = job._decoder.logits(torch.tensor([example.ids]), job._flat.pairs)[0]
    logs = logits.log_softmax(-1)
    losses = [
        -logs[at - 1, example.ids[at]] for at in range(1, len(example.ids)) if example.learnt[at]
    ]
    found = torch.autograd.grad(torch.stack(losses).mean(), leaves)
    return torch.cat([each.flatten() for each in found])


def test_each_conversation_is_cut_as_a_slow_reference_cuts_it(base) -> None:
    job = begun(base)
    examples = counting(6, seed=3).examples
    whole = [reference(job, example) for example in examples]
    lengths = [float(each.norm()) for each in whole]
    clip = sorted(lengths)[2]  # some are cut, some are not
    expected = sum(
        each * min(1.0, clip / length) for each, length in zip(whole, lengths, strict=True)
    )
    found = clipped_sum(job._decoder, job._flat, examples, clip)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5 * clip)
    assert not torch.allclose(found, sum(whole), rtol=1e-2)  # positive control: cutting matters
    assert not job._flat.grads.any()


@pytest.mark.parametrize("clip", [1e-3, 0.1])
def test_no_conversation_moves_the_sum_by_more_than_the_clip(base, clip: float) -> None:
    job = begun(base)
    examples = counting(5, seed=4).examples
    whole = clipped_sum(job._decoder, job._flat, examples, clip)
    for gone in range(len(examples)):
        rest = clipped_sum(job._decoder, job._flat, examples[:gone] + examples[gone + 1 :], clip)
        assert float((whole - rest).norm()) <= clip * (1 + 1e-4)


def test_a_gradient_that_is_not_finite_counts_as_nothing(base) -> None:
    job = begun(base)
    examples = counting(2).examples
    good = clipped_sum(job._decoder, job._flat, examples, 0.1)
    with torch.no_grad():
        job._flat.values[0] = math.nan
    found = clipped_sum(job._decoder, job._flat, examples, 0.1)
    assert good.any()
    assert not found.any()


def test_noise_has_its_scale_and_another_stream_for_each_step() -> None:
    count = 3_000_000  # three draws; the standard error of a variance is sqrt(2 / n)
    found = []
    for label in ("step 0", "step 1"):
        total = torch.zeros(count)
        add_noise(total, Seed(bytes(range(32))), label, 3.0)
        found.append(total.numpy().astype(np.float64) / 3.0)
    for noise in found:
        assert abs(noise.mean()) < 5 / math.sqrt(count)
        assert abs(noise.var() - 1) < 5 * math.sqrt(2 / count)
        assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / count)
        within = np.mean(np.abs(noise) < 1.959964)
        assert abs(within - 0.95) < 5 * math.sqrt(0.95 * 0.05 / count)
        assert abs(np.mean(noise[:-1] * noise[1:])) < 5 / math.sqrt(count)
    assert abs(np.mean(found[0] * found[1])) < 5 / math.sqrt(count)
    again = torch.zeros(count)
    add_noise(again, Seed(bytes(range(32))), "step 0", 3.0)
    assert np.allclose(again.numpy() / 3.0, found[0])  # going back does not draw anew


def test_a_sample_takes_each_with_its_chance() -> None:
    seed = Seed(bytes(32))
    taken = np.zeros(50)
    sizes = []
    for step in range(2_000):
        chosen = seed.chosen(f"step {step}", 50, 0.2)
        taken[chosen] += 1
        sizes.append(len(chosen))
    assert np.all(np.abs(taken - 400) < 5 * math.sqrt(2_000 * 0.16))
    assert abs(np.var(sizes) - 8.0) < 5 * 8.0 * math.sqrt(2 / 2_000)  # Poisson, not a fixed size
    assert seed.chosen("all", 5, 1.0) == [0, 1, 2, 3, 4]


def test_a_private_job_learns_shows_nothing_and_goes_on_as_if_it_had_not_stopped(base) -> None:
    fields = {"steps": 4, "least_steps": 1, "private": private(noise=0.3)}
    whole = Job(*base, counting(24).examples, recipe(**fields))
    part = Job(*base, counting(24).examples, recipe(**fields), State(0, whole._seed, {
        name: each.clone() for name, each in whole.state.tensors.items()}))  # fmt: skip
    while not whole.done:
        assert math.isnan(whole.advance())
        assert not whole.shows
    for _ in range(2):
        part.advance()
    kept = {name: each.clone() for name, each in part.state.tensors.items()}
    rest = Job(*base, counting(24).examples, recipe(**fields), State(2, whole._seed, kept))
    while not rest.done:
        rest.advance()
    assert torch.allclose(whole.state.tensors["values"], rest.state.tensors["values"])


def test_noise_moves_the_matrices_where_nothing_was_learnt(base) -> None:
    fields = {"steps": 1, "private": private(noise=2.0, share=1e-12)}
    job = Job(*base, counting(24).examples, recipe(**fields))
    job.advance()
    moved = [float(b.abs().max()) for _, b in job.adapter.pairs.values()]
    assert min(moved) > 0  # an empty sample still gets its noise


def test_an_attacker_tells_members_without_privacy_and_not_with_it() -> None:
    """Cheap; ``benchmarks/dp_membership.py`` has the curve. Chance moves a figure by about 0.1."""
    bare, _, _ = tuned(math.inf, 1, 64, 30)
    private, null, _ = tuned(1.0, 1, 64, 30)
    print(bare, private, null)
    assert bare > 0.7  # positive control
    assert abs(null) < 0.46
    assert private < 0.46 < bound(1.0)
