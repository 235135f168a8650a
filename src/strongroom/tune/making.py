"""A job as it is stored, from a dataset and a granted recipe: the same for owners and customers."""

from __future__ import annotations

import re
import time

import msgspec

from strongroom.store.tuning import StoredJob
from strongroom.tune.dataset import Dataset
from strongroom.tune.frames import pack_examples
from strongroom.tune.ledger import made_private
from strongroom.tune.policy import Dp, Recipe
from strongroom.tune.reasons import refuse

_NAME_CHARACTERS = 40


def make_job(
    dataset: Dataset,
    recipe: Recipe,
    *,
    job_id: str,
    organisation: str,
    name: str,
    base: tuple[str, str],
    training_file: str = "",
    metadata: str = "{}",
    dp: Dp | None = None,
    epsilon: float | None = None,
) -> tuple[StoredJob, bytes]:
    """A queued job, and its dataset as it is stored.

    Args:
        dataset, recipe: what is trained, and how.
        job_id, organisation: what it is called, and whose it is.
        name: what its adapter is called; a part of the job's id makes it unique.
        base: what callers call the base, and the digest of its manifest.
        training_file: the id of the customer's file.
        metadata: the customer's own, JSON.
        dp, epsilon: the owner's terms of privacy, if any, and what the customer wishes.

    Raises:
        RequestRefused: ``tune.too_few_sequences``: a step would take more than there are; or as
            ``ledger.made_private``.
    """
    examples = dataset.examples
    if len(examples) < recipe.batch:
        raise refuse("tune.too_few_sequences", found=len(examples), least=recipe.batch)
    recipe = made_private(recipe, len(examples), dp, epsilon)
    model, manifest = base
    job = StoredJob(
        id=job_id,
        organisation=organisation,
        model=model,
        manifest=manifest,
        adapter=adapter_name(name, job_id),
        training_file=training_file,
        dataset=dataset.digest,
        examples=len(examples),
        tokens=sum(len(example.ids) for example in examples),
        recipe=msgspec.json.encode(recipe).decode(),
        steps=recipe.steps,
        created_at=int(time.time()),
        metadata=metadata,
    )
    return job, pack_examples(examples)


def adapter_name(name: str, job_id: str) -> str:
    """What an adapter is served as: what its customer calls it, made unique by its job's id."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_NAME_CHARACTERS] or "adapter"
    return f"{slug}-{job_id[-8:]}"
