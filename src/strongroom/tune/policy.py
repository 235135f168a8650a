"""What a tuning job may ask for. Every limit is the server's, and what lies beyond one is refused.

A job's author controls the data, and may control nothing that turns an optimiser step into a
readable gradient: not the epsilon (a large one turns Adam into plain gradient descent), not the
draw of A, not the number of conversations a step averages over below the owner's floor, not the
embeddings or the unembedding, whose gradient is a row of the base itself.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.boundary.lora import MODULES, RANK_CAP
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.reasons import refuse

EPSILON: Final = 1e-8
BETAS: Final = (0.9, 0.999)
CLIP: Final = 1.0
"""The service's own AdamW, and the length to which its gradient is cut."""

Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=2**31)]


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a dataset, and each optimiser step, must hold at least.

    ``fresh_runs``: a conversation counts as distinct if so many of its runs of four tokens stand in
    no earlier one. ``duplicates`` and ``one_token`` are largest shares: of conversations that are
    not distinct, and of the most frequent token among those learnt.
    """

    distinct_per_step: Count = 256
    supervised_per_step: Count = 1_000
    fresh_runs: Count = 12
    least_supervised: Count = 1
    duplicates: Share = 0.05
    one_token: Share = 0.25


class Dp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Differentially private training: with it in a policy, every job is.

    ``epsilon`` is the most of one job, ``budget`` the most of all jobs of an organisation over a
    base together, both at ``delta``. ``clip`` is the length to which each conversation's gradient
    is cut. Noise is the least that meets a job's epsilon, never below ``least_noise``.
    """

    epsilon: Annotated[float, Meta(gt=0, le=100)] = 8.0
    budget: Annotated[float, Meta(gt=0, le=1000)] = 16.0
    delta: Annotated[float, Meta(gt=0, le=1e-3)] = 1e-6
    clip: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    least_noise: Annotated[float, Meta(ge=0.3, le=64)] = 0.3


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The owner's limits on tuning a base. ``least_steps``: before it nothing shows of a job.

    ``change`` is the largest Frobenius norm of ``scale * B A`` over that of its weight.
    """

    modules: tuple[str, ...] = MODULES
    rank: Annotated[int, Meta(ge=1, le=RANK_CAP)] = 16
    least_rate: Annotated[float, Meta(gt=0)] = 1e-6
    most_rate: Annotated[float, Meta(gt=0, le=0.1)] = 2e-3
    least_steps: Annotated[int, Meta(ge=1)] = 20
    most_steps: Count = 10_000
    most_batch: Count = 4_096
    most_tokens: Annotated[int, Meta(ge=8, le=2**20)] = 2_048
    most_lines: Count = 200_000
    change: Share = 0.5
    floors: Floors = Floors()
    dp: Dp | None = None

    def __post_init__(self) -> None:
        if not self.modules or not set(self.modules) <= set(MODULES):
            raise refuse("tune.policy_malformed", why=f"modules are among {', '.join(MODULES)}")
        if self.least_rate > self.most_rate or self.least_steps > self.most_steps:
            raise refuse("tune.policy_malformed", why="a least value is above its most")
        if self.floors.distinct_per_step > self.most_batch:
            raise refuse("tune.policy_malformed", why="a batch cannot meet its floor")

    def within(self, positions: int) -> Policy:
        """The same, for a base that has so many places."""
        most = min(self.most_tokens, positions)
        return msgspec.structs.replace(self, most_tokens=most)


class Tuning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How tuning is offered: ``[tuning]`` in ``strongroom.toml``.

    ``offered``: whether customers may ask for it at the gateway, and with how large files. A job is
    kept every ``checkpoint_seconds``. Adapters that are served may have ``served_megabytes`` of the
    keeper's memory together; 0 serves none. ``export``: what the gate asks before one leaves.

    ``primitives``: whether customers may steer training step by step. A session of which nothing is
    asked for ``idle_seconds`` is over.
    """

    offered: bool = False
    primitives: bool = False
    idle_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    checkpoint_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    most_file_bytes: Annotated[int, Meta(ge=1024, le=2**26)] = 16 * 1024 * 1024
    most_open_jobs: Annotated[int, Meta(ge=1, le=1000)] = 4
    served_megabytes: Annotated[int, Meta(ge=0, le=1_000_000)] = 512
    policy: Policy = Policy()
    export: ExportLimits = ExportLimits()


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a customer may ask for; everything else is the service's. ``batch`` None: the floor.

    ``privacy_epsilon``, where training is private, is the owner's most or less; None: the most.
    """

    rank: int = 8
    modules: tuple[str, ...] = ("q_proj", "v_proj")
    rate: float = 2e-4
    steps: int = 100
    batch: int | None = None
    privacy_epsilon: float | None = None


class Private(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a job is private: what it costs at ``delta``, and what makes it so.

    ``noise`` is its standard deviation over ``clip``; ``share`` with which a conversation is in a
    step.
    """

    epsilon: float
    delta: float
    clip: float
    noise: float
    share: float


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A wish that was granted: what a job computes with. The scale of an adapter is 2.

    Where it is ``private``, ``batch`` is how many conversations a step takes on average.
    """

    rank: int
    modules: tuple[str, ...]
    rate: float
    steps: int
    batch: int
    least_steps: int
    private: Private | None = None

    @property
    def alpha(self) -> int:
        """PEFT's ``lora_alpha``."""
        return 2 * self.rank


def parse_wish(raw: bytes) -> Wish:
    """A request's JSON.

    Raises:
        RequestRefused: ``tune.request_malformed``.
    """
    try:
        return msgspec.json.decode(raw, type=Wish)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = "it is not JSON"
        if isinstance(error, msgspec.ValidationError):
            why = "a field is unknown or has the wrong type"
        raise refuse("tune.request_malformed", why=why) from None


def grant(wish: Wish, policy: Policy) -> Recipe:
    """The recipe of a job, or the refusal of the first limit that is passed.

    Raises:
        RequestRefused: ``tune.rank_refused``, ``tune.modules_refused``, ``tune.rate_refused``,
            ``tune.steps_refused``, ``tune.batch_refused``.
    """
    if not 1 <= wish.rank <= policy.rank:
        raise refuse("tune.rank_refused", value=wish.rank, limit=policy.rank)
    strange = sorted(set(wish.modules) - set(policy.modules))
    if strange or not wish.modules:
        shown = ", ".join(name[:32] for name in strange[:4] if name.isidentifier())
        raise refuse(
            "tune.modules_refused", value=shown or "those asked for", limit=list(policy.modules)
        )
    if not (math.isfinite(wish.rate) and policy.least_rate <= wish.rate <= policy.most_rate):
        bounds = {"least": policy.least_rate, "limit": policy.most_rate}
        raise refuse("tune.rate_refused", value=wish.rate, **bounds)
    if not policy.least_steps <= wish.steps <= policy.most_steps:
        bounds = {"least": policy.least_steps, "limit": policy.most_steps}
        raise refuse("tune.steps_refused", value=wish.steps, **bounds)
    least = policy.floors.distinct_per_step
    batch = least if wish.batch is None else wish.batch
    if not least <= batch <= policy.most_batch:
        raise refuse("tune.batch_refused", value=batch, least=least, limit=policy.most_batch)
    return Recipe(
        rank=wish.rank,
        modules=tuple(name for name in MODULES if name in wish.modules),
        rate=wish.rate,
        steps=wish.steps,
        batch=batch,
        least_steps=policy.least_steps,
    )
