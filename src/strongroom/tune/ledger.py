"""What an organisation's jobs over a base have cost in privacy, and whether one more may.

1. A job's noise is settled when it is made: the least that meets its epsilon. The customer may ask
   for a smaller epsilon than the owner's; noise, clipping and delta are the service's.
2. The ledger is the jobs themselves: each row states what it costs from the moment it is made, and
   no row is ever removed. So a job that fails or is cancelled has spent what it reserved.
3. Jobs compose by Renyi divergence, as if every one saw the same conversations. A job with which
   they would pass the owner's budget is not made; this is judged where no other can be made
   meanwhile.
4. An earlier job that was not private counts as infinite: nothing bounds what it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from strongroom.store.tuning import StoredJob
from strongroom.tune.policy import Dp, Private, Recipe
from strongroom.tune.privacy import Spent, epsilon_of, least_noise
from strongroom.tune.reasons import refuse


def made_private(recipe: Recipe, examples: int, dp: Dp | None, wished: float | None) -> Recipe:
    """The recipe with its noise, or as it is where the owner set no terms.

    Raises:
        RequestRefused: ``tune.not_private``, ``tune.epsilon_refused``, ``tune.delta_too_large``,
            ``tune.epsilon_unreachable``.
    """
    if dp is None:
        if wished is not None:
            raise refuse("tune.not_private")
        return recipe
    target = dp.epsilon if wished is None else wished
    if not 0 < target <= dp.epsilon:
        raise refuse("tune.epsilon_refused", value=wished, limit=dp.epsilon)
    if dp.delta * examples >= 1:
        raise refuse("tune.delta_too_large", value=dp.delta, count=examples)
    share = recipe.batch / examples
    noise = least_noise(target, share, recipe.steps, dp.delta, floor=dp.least_noise)
    private = Private(
        epsilon=epsilon_of([Spent(noise, share, recipe.steps)], dp.delta),
        delta=dp.delta,
        clip=dp.clip,
        noise=noise,
        share=share,
    )
    return msgspec.structs.replace(recipe, private=private)


def spent(jobs: Sequence[StoredJob], delta: float) -> float:
    """Epsilon of these jobs together; infinite if one of them was not private."""
    costs = []
    for job in jobs:
        recipe = msgspec.json.decode(job.recipe, type=Recipe)
        if recipe.private is None:
            return math.inf
        costs.append(Spent(recipe.private.noise, recipe.private.share, recipe.steps))
    return epsilon_of(costs, delta)


def of_base(job: StoredJob, jobs: Sequence[StoredJob]) -> list[StoredJob]:
    """Those of ``jobs`` that share organisation and base with ``job``, by either of its names."""
    return [
        each
        for each in jobs
        if each.organisation == job.organisation
        and (each.model == job.model or each.manifest == job.manifest)
    ]


def require_budget(dp: Dp | None, job: StoredJob, before: Sequence[StoredJob]) -> None:
    """Step 3.

    Raises:
        RequestRefused: ``tune.privacy_spent``.
    """
    if dp is None:
        return
    found = spent([*of_base(job, before), job], dp.delta)
    if found > dp.budget:
        shown = "no bound" if math.isinf(found) else f"{found:.2f}"
        raise refuse("tune.privacy_spent", found=shown, limit=dp.budget)
