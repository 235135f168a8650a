"""What 10,000 guarded jobs tell of a matrix of the base, by the sequence of jobs that is chosen.

The attacker wants ``v_proj`` of the first layer. Alone in its context, a token's value is what
enters ``o_proj``, so that 1,000 tokens with 10 jobs each give both sides of ``o = V x``, up to a
factor a token (``closed_form``). The figure is the cosine of what he recovers with the true matrix.

Real: the base's weights, its activations and gradients at both places (SmolLM2-135M, float32),
the distribution of A, the service's AdamW and schedule, rank, steps. Simulated: the gradient of a
job is held still over its steps, and is a mix of the chosen token's own (``share``) and of that of
256 conversations out of a pool; only these two places are trained. In the attacker's favour: what
leaves is taken as the exact product B A (it leaves in bf16), the chosen token's own part is clean,
and nothing is refused at the gate.

Sequences, each of 10,000 jobs:

- ``unguarded``: one plain step on one token, rank 64, B handed out, A known: the control;
- ``other data``: a quarter of each gradient is the chosen token's, the share of the tokens learnt
  that a floor allows; other conversations in each job;
- ``same data``: the same, but a token's ten jobs have the same conversations and differ by their
  secret seeds only. ``minus background``: 100 more jobs without any chosen token are averaged and
  subtracted;
- ``flood``: as ``same data``, but nine tenths: no floor bounds what is asked, only what is learnt;
- ``flood, 2e-3``: the same at the highest rate that the policy allows;
- ``private``: as ``flood`` under DP-SGD with the least noise that a policy may have (0.3 times the
  clip); conversations agree, and each has the whole clip at either place alone.

All let every job leave. The gate lets four leave to an organisation, none of them from data of
which one left: ``four`` reads four tokens, one job each.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.tuning import DEFAULT_MODEL, weights
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.optimiser import BETAS, CLIP, EPSILON, Flat, adamw, rate_at

TOKENS, DRAWS, WIDE, RANK, STEPS, BATCH = 1_000, 10, 64, 16, 20, 256
LENGTH, POOL = 16, 256
BACKGROUND = 100
POWER = 12
Facts = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Sequence:
    """How an attacker asks. ``noise``: of a step's sum, in units of the clip; 0: none."""

    name: str
    share: float
    same: bool
    rate: float = 2e-4
    noise: float = 0.0


SEQUENCES = (
    Sequence("other data", 0.25, same=False),
    Sequence("same data", 0.25, same=True),
    Sequence("flood", 0.9, same=True),
    Sequence("flood, 2e-3", 0.9, same=True, rate=2e-3),
    Sequence("private", 0.9, same=True, noise=0.3),
)


class Watched(Decoder):
    """Keeps what enters and what comes back from the places that have a pair."""

    def __init__(self, config: LlamaConfig, tensors: Any) -> None:
        super().__init__(config, tensors)
        self.entered: dict[int, Tensor] = {}
        self.left: dict[int, Tensor] = {}

    def _linear(self, x: Any, weight: Any, bias: Any, pair: Any) -> Tensor:
        out = torch.nn.functional.linear(x, weight, bias)
        if pair is not None:
            if not out.requires_grad:
                out.requires_grad_(True)
            out.retain_grad()
            self.entered[id(pair)], self.left[id(pair)] = x.detach().float(), out
        return out


def layer_facts(
    config: LlamaConfig, tensors: Any, rows: list[tuple[tuple[int, ...], tuple[bool, ...]]]
) -> dict[str, tuple[Tensor, Tensor]]:
    """What enters v_proj and o_proj of the first layer, and the loss's gradient behind them:
    (positions, in) and (positions, out) float32, for all positions of ``rows``, of one length."""
    places = ("layers.0.v_proj", "layers.0.o_proj")
    pairs = {place: (torch.zeros(1), torch.zeros(1)) for place in places}
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {place: [] for place in places}
    for at in range(0, len(rows), 64):
        decoder = Watched(config, tensors)
        decoder.loss(rows_of(rows[at : at + 64]), pairs).backward()
        for place in places:
            key = id(pairs[place])
            grad = decoder.left[key].grad
            assert grad is not None
            x = decoder.entered[key]
            parts[place].append(
                (x.view(-1, x.shape[-1]), grad.float().view(len(x.view(-1, x.shape[-1])), -1))
            )
    return {
        place: (torch.cat([x for x, _ in found]), torch.cat([d for _, d in found]))
        for place, found in parts.items()
    }


def closed_form(entered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """V with ``values_t c_t = V entered_t`` for unknown factors c: (out, in) up to one factor.

    V exists for a choice of c iff ``values diag(c)`` lies in the row space of ``entered``; the
    squared miss is ``c^T ((values^T values) * N) c``, N the projection on what is left of it.
    """
    basis = np.linalg.svd(entered, full_matrices=False)[2]
    null = np.eye(entered.shape[1]) - basis.T @ basis
    _, turned = np.linalg.eigh((values.T @ values) * null)
    return np.asarray(values * turned[:, 0] @ np.linalg.pinv(entered))


def cosine(claim: np.ndarray, truth: np.ndarray) -> float:
    """Absolute cosine of two matrices as vectors."""
    return float(abs((claim * truth).sum()) / (np.linalg.norm(claim) * np.linalg.norm(truth)))


def mixed(values: np.ndarray, groups: int) -> np.ndarray:
    """Attention repeats each value head for ``groups`` query heads: take the first of each."""
    return values.reshape(-1, groups, 64, values.shape[-1])[:, 0].reshape(-1, values.shape[-1])


def unguarded(
    model: tuple[LlamaConfig, Any], own: Facts, tokens: int, draws: int, by: torch.Generator
) -> float:
    """The attack on one-token jobs: the control."""
    found = {}
    for place, parts in own.items():
        x, delta = (part.view(tokens, -1, part.shape[1])[:, 0] for part in parts)
        drawn = (torch.rand(draws * WIDE, x.shape[1], generator=by) * 2 - 1) / x.shape[1] ** 0.5
        solve = torch.linalg.pinv(drawn.double())
        rows = []
        for token in range(tokens):
            b = -0.1 * 2 * delta[token][:, None] * (drawn @ x[token])  # the jobs' B side by side
            left = b[:, b.norm(dim=0).argmax()]
            rows.append(solve @ (left / left.norm() @ b).double())
        found[place] = torch.stack(rows, 1).numpy()
    return recovered(*model, found)


def recovered(config: LlamaConfig, tensors: Any, found: dict[str, np.ndarray]) -> float:
    """The cosine of the ``v_proj`` that both sides give with the true one."""
    unit = {k: v / np.linalg.norm(v, axis=0, keepdims=True) for k, v in found.items()}
    values = mixed(unit["layers.0.o_proj"], config.heads // config.kv_heads)
    truth = tensors["model.layers.0.self_attn.v_proj.weight"].double().numpy()
    entered = unit["layers.0.v_proj"]
    plain = values @ np.linalg.pinv(entered)  # as if every factor were one
    return max(cosine(closed_form(entered, values), truth), cosine(plain, truth))


def conversations(config: LlamaConfig, by: torch.Generator) -> list[Any]:
    """Random ids: the attacker's text has to be distinct, and nothing else."""
    rows = torch.randint(config.vocab_size, (POOL, LENGTH + 1), generator=by).tolist()
    return [(tuple(row), (False, *[True] * LENGTH)) for row in rows]


def trained(
    gradients: Tensor, jobs: int, how: Sequence, by: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A (jobs, rank, in) and B (jobs, out, rank) after all steps, as ``tune.optimiser`` makes them.

    ``gradients``: (1 or jobs, out, in), of the loss in the weight.
    """
    _, rows, columns = gradients.shape
    a = (torch.rand(jobs, RANK, columns, generator=by) * 2 - 1) / columns**0.5
    values = [a, torch.zeros(jobs, rows, RANK)]
    first = [torch.zeros_like(each) for each in values]
    second = [torch.zeros_like(each) for each in values]
    for step in range(STEPS):
        a, b = values
        if len(gradients) == 1:  # one product for all jobs
            flat = a.reshape(-1, columns) @ gradients[0].t()
            to_b = 2.0 * flat.view(jobs, RANK, rows).transpose(1, 2)
            to_a = 2.0 * (b.transpose(1, 2).reshape(-1, rows) @ gradients[0]).view(a.shape)
        else:
            to_b = 2.0 * gradients @ a.transpose(1, 2)
            to_a = 2.0 * b.transpose(1, 2) @ gradients
        length = (to_a.square().sum((1, 2)) + to_b.square().sum((1, 2))).sqrt()[:, None, None]
        cut = CLIP / length.clamp(min=CLIP)
        if how.noise:  # of length 1 before it, whatever the data
            to_a = to_a / length + how.noise / BATCH * torch.randn(to_a.shape, generator=by)
            to_b = to_b / length + how.noise / BATCH * torch.randn(to_b.shape, generator=by)
            cut = torch.ones(1)
        rate = rate_at(step, STEPS, how.rate) / (1 - BETAS[0] ** (step + 1))
        for value, grad, one, two in zip(values, (to_a, to_b), first, second, strict=True):
            grad = grad * cut
            one.lerp_(grad, 1 - BETAS[0])
            two.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            size = (two / (1 - BETAS[1] ** (step + 1))).sqrt_().add_(EPSILON)
            value.addcdiv_(one, size, value=-rate)
    return values[0], values[1]


def require_same(gradient: Tensor) -> float:
    """The largest difference of ``trained`` from the service's own optimiser, on one job.

    Raises:
        SystemExit: it is more than rounding.
    """
    a, b = trained(gradient[None], 1, SEQUENCES[0], torch.Generator().manual_seed(3))
    by = torch.Generator().manual_seed(3)
    start = (torch.rand(1, RANK, gradient.shape[1], generator=by) * 2 - 1) / gradient.shape[
        1
    ] ** 0.5
    flat = Flat({"one": (start[0], torch.zeros(gradient.shape[0], RANK))})
    for step in range(STEPS):
        theirs, mine = flat.pairs["one"]
        mine.grad.add_(2.0 * gradient @ theirs.detach().t())  # type: ignore[union-attr]
        theirs.grad.add_(2.0 * mine.detach().t() @ gradient)  # type: ignore[union-attr]
        adamw(flat, step, rate_at(step, STEPS, SEQUENCES[0].rate))
    theirs, mine = (each.detach() for each in flat.pairs["one"])
    apart = float(((b[0] @ a[0]) - (mine @ theirs)).norm() / (mine @ theirs).norm())
    if apart > 1e-2:
        raise SystemExit(f"the simulated optimiser is {apart:.2g} from the service's")
    return apart


def leading(a: Tensor, b: Tensor, less: Tensor, by: torch.Generator) -> Tensor:
    """The first right singular vector of the mean of ``B A`` less ``less``, by power iteration."""
    jobs, rank, columns = a.shape
    wide, tall = a.reshape(-1, columns), b.transpose(1, 2).reshape(jobs * rank, -1) / jobs
    vector = torch.randn(columns, generator=by)
    for _ in range(POWER):
        out = tall.t() @ (wide @ vector) - less @ vector
        vector = wide.t() @ (tall @ out) - less.t() @ out
        vector = vector / vector.norm().clamp(min=1e-30)
    return vector


def attacked(
    model: tuple[LlamaConfig, Any], pool: Facts, own: Facts, how: Sequence, tokens: int, draws: int
) -> dict[str, Any]:
    """One sequence, every job of it; see the top."""
    by = torch.Generator().manual_seed(1)
    began = time.process_time()
    kinds = ("averaged", "minus background", "one job")
    found: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in kinds}
    alike: dict[str, float] = {}
    ratios: list[float] = []
    for place, (x, delta) in pool.items():
        per = [part.view(POOL, -1, part.shape[1]) for part in (delta, x)]
        blocks = torch.bmm(per[0].transpose(1, 2), per[1]).view(POOL, -1) / (BATCH * LENGTH)
        size = len(own[place][0]) // tokens
        mean = blocks.mean(0) * BATCH
        nothing = background = torch.zeros(delta.shape[1], x.shape[1])
        if how.same:
            a, b = trained(mean.view(1, -1, x.shape[1]), BACKGROUND, how, by)
            background = torch.einsum("jor,jri->oi", b, a) / BACKGROUND
        rows: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
        cosines = []
        for number in range(tokens):
            mine, back = (part[number * size] for part in own[place])
            aimed = how.share * torch.outer(back, mine)
            if how.same:
                gradients = ((1 - how.share) * mean).view(1, -1, x.shape[1]) + aimed
            else:
                some = torch.randint(POOL, (draws, BATCH), generator=by)
                often = torch.stack([torch.bincount(each, minlength=POOL) for each in some])
                gradients = ((1 - how.share) * (often.float() @ blocks)).view(
                    draws, -1, x.shape[1]
                ) + aimed
            a, b = trained(gradients, draws, how, by)
            averaged = less = leading(a, b, nothing, by)
            if how.same:
                less = leading(a, b, background, by)
            rows["averaged"].append(averaged.double().numpy())
            rows["minus background"].append(less.double().numpy())
            rows["one job"].append(leading(a[:1], b[:1], nothing, by).double().numpy())
            best = max(float((each @ mine).abs() / mine.norm()) for each in (averaged, less))
            cosines.append(best)
            if number % 50 == 0:
                values = torch.linalg.svdvals(b[0])
                ratios.append(float(values[1] / values[0]))
        for kind in kinds:
            found[kind][place] = np.stack(rows[kind], 1)
        alike[place] = float(np.mean(cosines))
    four = {place: each[:, :4] for place, each in found["one job"].items()}
    said: dict[str, Any] = {"jobs": tokens * draws}
    said["averaged"] = recovered(*model, found["averaged"])
    if how.same:
        said["minus background"] = recovered(*model, found["minus background"])
    said["four"] = recovered(*model, four)
    said["activation"] = alike
    said["ratio of B, median"] = float(np.median(ratios))
    return said | {"core_seconds": time.process_time() - began}


def main() -> None:
    """Print one JSON object a sequence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--draws", type=int, default=DRAWS, help="jobs a token")
    parser.add_argument("--only", nargs="*", help="names of sequences")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    config = parse_llama_config((asked.model / "config.json").read_bytes())
    tensors = {name: value.float() for name, value in weights(asked.model).items()}
    by = torch.Generator().manual_seed(1)
    ids = torch.randperm(config.vocab_size, generator=by)[: asked.tokens].tolist()
    pairs = [((token, (token + 1) % config.vocab_size), (False, True)) for token in ids]
    own = layer_facts(config, tensors, pairs)
    pool = layer_facts(config, tensors, conversations(config, by))
    control = unguarded((config, tensors), own, len(ids), DRAWS, by)
    print(json.dumps({"unguarded": control, "jobs": asked.tokens * DRAWS}), flush=True)
    x, delta = pool["layers.0.v_proj"]
    print(json.dumps({"optimiser apart": require_same(delta.t() @ x / len(x))}), flush=True)
    for how in SEQUENCES:
        if not asked.only or how.name in asked.only:
            said = attacked((config, tensors), pool, own, how, asked.tokens, asked.draws)
            print(json.dumps({how.name: said}), flush=True)


if __name__ == "__main__":
    main()
