"""Adapters for the drill of the gradient oracle: some trained by the owner's limits, some without.

1. The base is cut: its first layer and ``TOKENS`` of its tokens, so that a job costs seconds. What
   enters the first layer is then what enters it in the whole base, and that is what is asked about.
2. Unguarded: one plain gradient step on one token, as many jobs as determine what entered.
3. By the limits: the service's own job with the least steps and the largest rank that the owner
   grants, on the data that suit an attacker best among those that pass the floors: conversations
   that repeat one token wherever nothing is learnt, and as often as is allowed where it is. Its
   adapter is refactored as one that leaves is.
4. Each of those is shown to the gate's oracle and tripwire, over the cut base.

``python -m strongroom.cli.audit_exports`` makes those of the demonstration's model again; they lie
beside it in the cache.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from strongroom.exposure.demo import language
from strongroom.exposure.judge.activations import Exports
from strongroom.exposure.reasons import refuse
from strongroom.keeper.engine.adapter import Adapter
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig, parse_llama_config
from strongroom.keeper.engine.llama_weights import expected_shapes
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.dataset import Example, keep_distinct, require_floors
from strongroom.tune.export import oracle
from strongroom.tune.export.factors import canonical_factors
from strongroom.tune.export.gate import History, to_leave
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from strongroom.tune.policy import Policy, Tuning, Wish, grant

TOKENS: Final = 4096
"""Tokens of the cut base."""

JOBS: Final = 3
"""Chosen tokens of each sort."""

_MODULE: Final = "v_proj"
_PLACE: Final = f"layers.0.{_MODULE}"
_RANK: Final = 64
_SPARE: Final = 4
_OTHERS: Final = 1000
_RATE: Final = 2e-4
_PROMPT: Final = "ttrtttrtttr"
_LEARNT: Final = "rrrt"
"""A conversation: t is the chosen token, r another one each time; the second part is learnt."""

_CHECKED: Final = {"tune.export_too_short", "tune.export_direction", "tune.export_oracle"}
_VERSION: Final = 1


def make_exports(
    config: LlamaConfig, base: Tensors, tuning: Tuning, seed: int, jobs: int = JOBS
) -> Exports:
    """Steps 1 to 4, about half a core-minute a job for a width of 576.

    Raises:
        RequestRefused: the owner's limits refuse such a job.
        ExposureRefused: ``exposure.knowledge_lacking``: they do not let ``v_proj`` be tuned.
    """
    if _MODULE not in tuning.policy.modules:
        raise refuse("exposure.knowledge_lacking", what=f"a policy that lets {_MODULE} be tuned")
    by = random.Random(seed)  # noqa: S311
    config, base = _cut(config, base, by)  # (1)
    chosen = by.sample(range(config.vocab_size), 2 * jobs)
    tensors: dict[str, torch.Tensor] = {}
    leaving = 0
    for token in chosen[:jobs]:  # (2)
        for job in range(math.ceil((config.hidden_size + _SPARE) / _RANK)):
            a, b = _plain_step(config, base, token, by).pairs[_PLACE]
            tensors |= {f"plain-{token}/{job}/a": a, f"plain-{token}/{job}/b": b}
    for token in chosen[jobs:]:  # (3)
        adapter = _by_the_limits(config, base, token, tuning.policy, by)
        leaving += _may_leave(config, base, adapter, token, tuning)  # (4)
        a, b = canonical_factors(adapter.pairs[_PLACE])
        tensors |= {f"export-{token}/0/a": a, f"export-{token}/0/b": b}
    return _exports(config, base, tensors, leaving)


def _cut(
    config: LlamaConfig, base: Tensors, by: random.Random
) -> tuple[LlamaConfig, dict[str, torch.Tensor]]:
    kept = torch.tensor(by.sample(range(config.vocab_size), min(TOKENS, config.vocab_size)))
    cut = replace(config, layers=1, vocab_size=len(kept))
    rows = {"model.embed_tokens.weight", "lm_head.weight"}
    return cut, {
        name: (base[name][kept] if name in rows else base[name]).float().clone()
        for name in expected_shapes(cut)
    }


def _plain_step(config: LlamaConfig, base: Tensors, token: int, by: random.Random) -> Adapter:
    start = fresh(config, (_MODULE,), _RANK, Seed(by.randbytes(32)))
    pairs = {
        place: (a.requires_grad_(True), b.requires_grad_(True))
        for place, (a, b) in start.pairs.items()
    }
    rows = rows_of([((token, (token + 1) % config.vocab_size), (False, True))])
    Decoder(config, base, start.scale).loss(rows, pairs).backward()  # type: ignore[no-untyped-call]
    moved = {
        place: (a.detach(), (b - 0.1 * _gradient(b)).detach()) for place, (a, b) in pairs.items()
    }
    return replace(start, pairs=moved)


def _gradient(matrix: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(matrix) if matrix.grad is None else matrix.grad


def _by_the_limits(
    config: LlamaConfig, base: Tensors, token: int, policy: Policy, by: random.Random
) -> Adapter:
    rate = min(max(_RATE, policy.least_rate), policy.most_rate)
    wish = Wish(rank=policy.rank, modules=(_MODULE,), rate=rate, steps=policy.least_steps)
    recipe = grant(wish, policy)
    examples = _repeating(config, token, recipe.batch, by)
    distinct = keep_distinct(examples, policy.floors.fresh_runs)
    require_floors(distinct, len(examples), policy.floors)
    job = Job(config, base, distinct, recipe)
    while not job.done:
        job.advance()
    return job.adapter


def _repeating(config: LlamaConfig, token: int, count: int, by: random.Random) -> list[Example]:
    """Conversations that differ as little as the floors allow."""
    others = itertools.cycle(by.sample(range(config.vocab_size), config.vocab_size))
    form = _PROMPT + _LEARNT
    learnt = (*[False] * len(_PROMPT), *[True] * len(_LEARNT))

    def other() -> int:
        return next(each for each in others if each != token)

    return [
        Example(tuple(token if letter == "t" else other() for letter in form), learnt)
        for _ in range(count)
    ]


def _may_leave(
    config: LlamaConfig, base: Tensors, adapter: Adapter, token: int, tuning: Tuning
) -> bool:
    """What the gate says of its matrices alone; membership and canaries are other attacks'."""
    probes = [token, *range(config.vocab_size)][: tuning.export.probes]
    verdict = to_leave(
        tuning.export,
        History(0, ()),
        steps=tuning.policy.least_steps,
        dataset="",
        epsilon=None,
        ratios=oracle.ratios(adapter),
        oracle=[each.cosine for each in oracle.read(config, base, adapter, probes)],
        merges=(),
        auc=None,
        bits=None,
    )
    return not any(check.code in _CHECKED for check in verdict.failures)


def _exports(
    config: LlamaConfig, base: Tensors, tensors: Mapping[str, torch.Tensor], leaving: int
) -> Exports:
    names = sorted({name.partition("/")[0] for name in tensors})
    chosen = {name: int(name.rpartition("-")[2]) for name in names}
    rest = [n for n in range(config.vocab_size) if n not in chosen.values()][:_OTHERS]
    entered = _entering(config, base, list(chosen.values()))
    return Exports(
        tensors=tensors,
        entered=dict(zip(chosen, entered, strict=True)),
        unguarded=frozenset(name for name in names if name.startswith("plain-")),
        others=_entering(config, base, rest),
        leaving=leaving,
        why=f"Jobs ran on the base's first layer and {config.vocab_size:,} of its tokens; cosines "
        "are of what tokens do not share. What merges, membership and canaries say is not in it.",
    )


def _entering(config: LlamaConfig, base: Tensors, tokens: Sequence[int]) -> Any:
    """What enters the first layer's projections for each token, (tokens, width) float64."""
    rows = base["model.embed_tokens.weight"][torch.tensor(tokens)].double()
    size = (rows.square().mean(-1, keepdim=True) + config.norm_eps).rsqrt()
    return (rows * size * base["model.layers.0.input_layernorm.weight"].double()).numpy()


def demo_exports(model: Path, say: Any = None) -> Exports:
    """Those of the demonstration's model in the folder ``model``, under the default limits.

    Args:
        say: called with a sentence before they are made, if they are not in the cache.
    """
    tuning = Tuning()
    parts = [msgspec.to_builtins(tuning), TOKENS, JOBS, _RATE, _PROMPT, _LEARNT, _VERSION]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    file = model.parent / f"exports-{digest}.safetensors"
    config = parse_llama_config((model / "config.json").read_bytes())
    base = load_file(model / "model.safetensors")
    if file.is_file():
        with safe_open(file, "pt") as kept:
            leaving = int(kept.metadata()["leaving"])
        cut = _cut(config, base, random.Random(language.SEED))  # noqa: S311
        return _exports(*cut, load_file(file), leaving)
    if say is not None:
        say("training adapters by the owner's limits, some minutes, once")
    made = make_exports(config, base, tuning, language.SEED)
    with tempfile.TemporaryDirectory(dir=model.parent) as work:
        fresh_file = Path(work) / file.name
        save_file(dict(made.tensors), fresh_file, metadata={"leaving": str(made.leaving)})
        fresh_file.replace(file)
    return made


def main() -> int:
    """Make them if needed, and say how many the gate would let leave."""
    made = demo_exports(language.ensure_demo_language(), lambda text: print(text, file=sys.stderr))
    print(f"{len(made.entered) - len(made.unguarded)} by the limits, {made.leaving} would leave")
    return 0


if __name__ == "__main__":
    sys.exit(main())
