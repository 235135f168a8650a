"""The export attack: 10,000 jobs with and without the gate's rules, and one real job of each kind.

``--simulate``: the attacker wants ``v_proj`` of the first layer. Alone in its context, a token's
value is what enters ``o_proj``: 1,000 tokens and 10 draws of A give both sides of ``o = V x``, up
to a factor a token, which the closed form below finds. All jobs are computed from activations and
gradients of the real model at that layer.

- unguarded: one plain step on one token, rank 64, B handed out, A known from the client's seed;
- by the rules: 20 steps of the service's AdamW at rank 16 on 256 conversations, of which the chosen
  token is the largest share that the floors allow (a quarter); A secret; what leaves is the SVD of
  B A in bf16. Activations and gradients are held still over the 20 steps;
- by the rules and by the ledger: the same, of which the first four leave.

The figure is the cosine of the recovered matrix with the true one.

``--real``: one job by the rules and one unguarded step, trained on the real model by the real loop,
and what the gate's own attacks say of both; and what the exported form costs in held-out loss.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.tuning import DEFAULT_MODEL, examples_of, pages, passages, weights
from strongroom.keeper.engine.adapter import peft_names
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.export import behaviour, oracle, scan
from strongroom.tune.export.factors import canonical_factors, exported
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from strongroom.tune.optimiser import Flat, adamw, rate_at
from strongroom.tune.policy import Recipe

TOKENS, DRAWS, WIDE, RANK, STEPS, BATCH = 1_000, 10, 64, 16, 20, 256
RATE = 2e-4
CHOSEN = 0.25
LENGTH = 16
POOL = 256


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


def unguarded(config: LlamaConfig, tensors: Any, ids: list[int], by: torch.Generator) -> float:
    """The attack on 10,000 one-token jobs."""
    facts = layer_facts(
        config, tensors, [((t, (t + 1) % config.vocab_size), (False, True)) for t in ids]
    )
    found = {}
    for place, (x, delta) in facts.items():
        x, delta = (
            x.view(len(ids), -1, x.shape[1])[:, 0],
            delta.view(len(ids), -1, delta.shape[1])[:, 0],
        )
        drawn = (torch.rand(DRAWS * WIDE, x.shape[1], generator=by) * 2 - 1) / x.shape[1] ** 0.5
        solve = torch.linalg.pinv(drawn.double())
        rows = []
        for token in range(len(ids)):
            b = -0.1 * 2 * delta[token][:, None] * (drawn @ x[token])  # the jobs' B side by side
            left = b[:, b.norm(dim=0).argmax()]
            rows.append(solve @ (left / left.norm() @ b).double())
        found[place] = torch.stack(rows, 1).numpy()
    return recovered(config, tensors, found)


def recovered(config: LlamaConfig, tensors: Any, found: dict[str, np.ndarray]) -> float:
    """The cosine of the ``v_proj`` that both sides give with the true one."""
    unit = {k: v / np.linalg.norm(v, axis=0, keepdims=True) for k, v in found.items()}
    values = mixed(unit["layers.0.o_proj"], config.heads // config.kv_heads)
    truth = tensors["model.layers.0.self_attn.v_proj.weight"].double().numpy()
    entered = unit["layers.0.v_proj"]
    plain = values @ np.linalg.pinv(entered)  # as if every factor were one
    return max(cosine(closed_form(entered, values), truth), cosine(plain, truth))


def by_the_rules(
    config: LlamaConfig, tensors: Any, ids: list[int], by: torch.Generator, draws: int
) -> dict[str, float]:
    """The attack on ``draws`` jobs a token, each as the service trains it.

    A job takes 256 conversations from a pool with repeats. The attacker adds up the first right
    singular vectors of what left of one token's jobs, their signs made alike.
    """
    pool = layer_facts(config, tensors, conversations(config, by))
    pairs = [((token, (token + 1) % config.vocab_size), (False, True)) for token in ids]
    own = layer_facts(config, tensors, pairs)
    found, alike = {}, {}
    for place, (x, delta) in pool.items():
        blocks = torch.bmm(
            delta.view(POOL, -1, delta.shape[1]).transpose(1, 2), x.view(POOL, -1, x.shape[1])
        ).view(POOL, -1)
        size = len(own[place][0]) // len(ids)
        rows, cosines = [], []
        for number in range(len(ids)):
            mine, back = (part[number * size] for part in own[place])
            total = torch.zeros(x.shape[1])
            for _ in range(draws):
                some = torch.randint(POOL, (BATCH,), generator=by)
                often = torch.bincount(some, minlength=POOL).float()
                gradient = (often @ blocks).view(-1, x.shape[1]) / (BATCH * LENGTH)
                gradient = (1 - CHOSEN) * gradient + CHOSEN * torch.outer(back, mine)
                first = trained(gradient, by)[:, 0]
                total += first * first[first.abs().argmax()].sign()
            rows.append(total.double().numpy())
            cosines.append(float((total @ mine).abs() / (total.norm() * mine.norm())))
        found[place], alike[place] = np.stack(rows, 1), float(np.mean(cosines))
    some_left = {place: rows[:, :2] for place, rows in found.items()}
    return {
        "all_leave": recovered(config, tensors, found),
        "four_leave": recovered(config, tensors, some_left),
        "activation_v_proj": alike["layers.0.v_proj"],
        "activation_o_proj": alike["layers.0.o_proj"],
    }


def trained(gradient: Tensor, by: torch.Generator) -> Tensor:
    """Right singular vectors (in, rank) of what leaves of one job with this gradient."""
    rows, columns = gradient.shape
    a = (torch.rand(RANK, columns, generator=by) * 2 - 1) / columns**0.5
    flat = Flat({"one": (a, torch.zeros(rows, RANK))})
    for step in range(STEPS):
        a, b = flat.pairs["one"]
        b.grad.add_(2.0 * gradient @ a.detach().t())  # type: ignore[union-attr]
        a.grad.add_(2.0 * b.detach().t() @ gradient)  # type: ignore[union-attr]
        adamw(flat, step, rate_at(step, STEPS, RATE))
    a, b = (each.detach() for each in flat.pairs["one"])
    return canonical_factors((a, b))[0].float().t()


def conversations(config: LlamaConfig, by: torch.Generator) -> list[Any]:
    """Random ids: the attacker's text has to be distinct, and nothing else."""
    rows = torch.randint(config.vocab_size, (POOL, LENGTH + 1), generator=by).tolist()
    return [(tuple(row), (False, *[True] * LENGTH)) for row in rows]


def simulate(model: Path, draws: int) -> dict[str, Any]:
    """All three figures."""
    config = parse_llama_config((model / "config.json").read_bytes())
    tensors = {name: value.float() for name, value in weights(model).items()}
    by = torch.Generator().manual_seed(1)
    ids = torch.randperm(config.vocab_size, generator=by)[:TOKENS].tolist()
    began = time.perf_counter()
    said: dict[str, Any] = {"unguarded_jobs": TOKENS * DRAWS}
    said["unguarded"] = unguarded(config, tensors, ids, by)
    said["jobs_by_the_rules"] = TOKENS * draws
    said |= by_the_rules(config, tensors, ids, by, draws)
    return said | {"seconds": time.perf_counter() - began}


def one_step(config: LlamaConfig, tensors: Any, token: int, rank: int) -> Any:
    """An adapter after one plain step on one token."""
    start = fresh(config, ("q_proj", "v_proj"), rank, Seed())
    pairs = {
        p: (a.requires_grad_(True), b.requires_grad_(True)) for p, (a, b) in start.pairs.items()
    }
    rows = rows_of([((token, token + 1), (False, True))])
    Decoder(config, tensors, start.scale).loss(rows, pairs).backward()
    moved = {p: (a.detach(), (b - 0.1 * b.grad).detach()) for p, (a, b) in pairs.items()}
    return replace(start, pairs=moved)


def real(model: Path, steps: int) -> dict[str, Any]:
    """One job of each kind under the gate's attacks."""
    config = parse_llama_config((model / "config.json").read_bytes())
    tensors = weights(model)
    texts = passages(model, 24, pages(), spread=8)
    held, data = examples_of(texts[:64]), examples_of(texts[64:])
    recipe = Recipe(
        rank=8, modules=("q_proj", "v_proj"), rate=RATE, steps=steps, batch=BATCH, least_steps=20
    )
    began = time.perf_counter()
    job = Job(config, tensors, data, recipe)
    while not job.done:
        job.advance()
    trained_in = time.perf_counter() - began
    adapter = job.adapter
    leaving = exported(adapter.pairs)
    form = {
        place: tuple(leaving[name].float() for name in peft_names(place)) for place in adapter.pairs
    }
    decoder = Decoder(config, tensors, adapter.scale)

    def loss(pairs: Any) -> float:
        found = behaviour.losses(decoder, held, pairs)
        return sum(found) / len(found)

    limit = ExportLimits()
    probes = [at * config.vocab_size // limit.probes for at in range(limit.probes)]
    began = time.perf_counter()
    said = {
        "rules": _told(config, tensors, adapter, probes),
        "unguarded": _told(config, tensors, one_step(config, tensors, probes[700], 8), probes),
        "unguarded_token_not_probed": _told(
            config, tensors, one_step(config, tensors, probes[700] + 5, 8), probes
        ),
    }
    return said | {
        "train_seconds": trained_in,
        "attack_seconds": (time.perf_counter() - began) / 3,
        "flags": sum(bool(each.flag) for each in scan.scan(adapter, tensors)),
        "held_base": loss({}),
        "held_trained": loss(adapter.pairs),
        "held_exported": loss(form),
    }


def _told(config: LlamaConfig, tensors: Any, adapter: Any, probes: list[int]) -> dict[str, Any]:
    read = [each.cosine for each in oracle.read(config, tensors, adapter, probes)]
    known = [each for each in read if each is not None]
    ratios = oracle.ratios(adapter)
    return {
        "most": max(known),
        "median": float(np.median(known)),
        "unjudged": len(read) - len(known),
        "above_limit": sum(each > 0.05 for each in known),
        "places": len(read),
        "ratios": [round(float(each), 3) for each in np.quantile(ratios, (0, 0.25, 0.5, 0.75, 1))],
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--draws", type=int, default=DRAWS, help="jobs a token by the rules")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the real job")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    said: dict[str, Any] = {}
    if asked.simulate:
        said["simulated"] = simulate(asked.model, asked.draws)
    if asked.real:
        said["real"] = real(asked.model, asked.steps)
    print(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
