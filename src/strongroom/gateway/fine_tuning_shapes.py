"""The closed schema of OpenAI's fine-tuning requests, and its answers in OpenAI's own shapes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import Fields, check_unique, decode_fields, parse_object
from strongroom.store.tuning import OPEN, StoredCheckpoint, StoredEvent, StoredFile, StoredJob
from strongroom.tune.policy import Policy, Recipe, Wish

BASE_RATE: Final = 2e-4
"""What a learning-rate multiplier of 1 means."""

_PASSES: Final = 3
"""Passes over the data where the caller leaves it to us."""

_Auto = Literal["auto"]

REFUSED: Final[dict[str, str]] = {
    "seed": "whoever knows what an adapter began from can read the base from it",
    "validation_file": "held-out data is the owner's to judge an adapter with",
    "integrations": "it would send what a job says elsewhere",
}
"""Fields of OpenAI's that are refused by name, with the reason; null asks for nothing."""


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of request structs: an unknown field is refused."""


class Hyperparameters(_Closed, frozen=True):
    """What may be chosen; the rest is the service's."""

    n_epochs: Annotated[int, Meta(ge=1, le=1000)] | _Auto = "auto"
    batch_size: Annotated[int, Meta(ge=1, le=2**20)] | _Auto = "auto"
    learning_rate_multiplier: Annotated[float, Meta(gt=0, le=1000)] | _Auto = "auto"
    privacy_epsilon: Annotated[float, Meta(gt=0, le=1000)] | _Auto = "auto"


class Supervised(_Closed, frozen=True):
    """The one method."""

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(_Closed, frozen=True):
    """How an adapter is trained."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class FineTuningRequest(_Closed, frozen=True):
    """Body of ``POST /v1/fine_tuning/jobs``."""

    model: Annotated[str, Meta(max_length=256)]
    training_file: Annotated[str, Meta(max_length=64)]
    suffix: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None


_request = msgspec.json.Decoder(FineTuningRequest)


def read_request(body: bytes) -> FineTuningRequest:
    """A request for a job.

    Raises:
        Refusal: 400, with the field's name.
    """
    fields = parse_object(body)
    _refuse_by_name(fields)
    request = decode_fields(fields, _request)
    check_unique(body)
    return request


def _refuse_by_name(fields: Fields) -> None:
    for name, why in REFUSED.items():
        value = fields.pop(name, None)
        if value is not None and bytes(value) != b"null":
            raise Refusal(
                "gateway.parameter_not_allowed",
                f"`{name}` is not accepted: {why}.",
                action="Leave it out.",
                param=name,
                rung="never",
            )


def wish_of(request: FineTuningRequest, examples: int, policy: Policy) -> Wish:
    """What a request asks for, over a dataset of so many examples."""
    given = request.method.supervised.hyperparameters if request.method else None
    chosen = given or request.hyperparameters or Hyperparameters()
    batch = None if chosen.batch_size == "auto" else chosen.batch_size
    a_pass = max(1, examples // (batch or policy.floors.distinct_per_step))
    if chosen.n_epochs == "auto":
        steps = max(policy.least_steps, min(_PASSES * a_pass, policy.most_steps))
    else:
        steps = chosen.n_epochs * a_pass
    factor = chosen.learning_rate_multiplier
    rate = BASE_RATE * (1.0 if factor == "auto" else factor)
    epsilon = None if chosen.privacy_epsilon == "auto" else chosen.privacy_epsilon
    return Wish(rate=rate, steps=steps, batch=batch, privacy_epsilon=epsilon)


def file_object(file: StoredFile) -> dict[str, Any]:
    """OpenAI's ``file``."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at,
        "filename": file.name,
        "purpose": "fine-tune",
        "status": "processed",
    }


def job_object(job: StoredJob) -> dict[str, Any]:
    """OpenAI's ``fine_tuning.job``. No seed: it is secret."""
    recipe = msgspec.json.decode(job.recipe, type=Recipe)
    chosen = {
        "n_epochs": -(-job.steps * recipe.batch // job.examples),
        "batch_size": recipe.batch,
        "learning_rate_multiplier": recipe.rate / BASE_RATE,
    }
    if recipe.private is not None:
        cost = {"privacy_epsilon": recipe.private.epsilon, "privacy_delta": recipe.private.delta}
        chosen |= cost
    done = job.status == "succeeded"
    failed = {"code": job.error, "message": job.reason, "param": None}
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_at,
        "error": failed if job.status == "failed" else None,
        "fine_tuned_model": f"{job.model}:{job.adapter}" if done else None,
        "finished_at": job.finished_at or None,
        "hyperparameters": chosen,
        "model": job.model,
        "organization_id": job.organisation,
        "result_files": [],
        "seed": None,
        "status": job.status,
        "trained_tokens": job.tokens * job.steps * recipe.batch // job.examples if done else None,
        "training_file": job.training_file,
        "validation_file": None,
        "estimated_finish": _estimate(job),
        "integrations": None,
        "metadata": msgspec.json.decode(job.metadata),
        "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
    }


def _estimate(job: StoredJob) -> int | None:
    if job.status not in OPEN or not job.step:
        return None
    now = time.time()
    return round(now + (now - job.started_at) / job.step * (job.steps - job.step))


def event_object(event: StoredEvent) -> dict[str, Any]:
    """OpenAI's ``fine_tuning.job.event``."""
    metrics = {"step": event.step, "train_loss": event.loss}
    return {
        "id": f"ftevent-{event.job.removeprefix('ftjob-')}-{event.number}",
        "object": "fine_tuning.job.event",
        "created_at": event.at,
        "level": event.level,
        "message": event.message,
        "type": "message" if event.step is None else "metrics",
        "data": {} if event.step is None else metrics,
    }


def checkpoint_object(checkpoint: StoredCheckpoint) -> dict[str, Any]:
    """OpenAI's ``fine_tuning.job.checkpoint``. One to go on from: it is not served by a name."""
    return {
        "id": f"ftckpt-{checkpoint.job.removeprefix('ftjob-')}-{checkpoint.step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": checkpoint.at,
        "fine_tuned_model_checkpoint": None,
        "fine_tuning_job_id": checkpoint.job,
        "metrics": {"step": checkpoint.step, "train_loss": checkpoint.loss},
        "step_number": checkpoint.step,
    }


def page(objects: Sequence[dict[str, Any]], after: str, limit: int) -> dict[str, Any]:
    """OpenAI's ``list``: at most ``limit`` objects behind the one with the id ``after``.

    Raises:
        Refusal: 400 ``gateway.bad_request``: there is none of this id.
    """
    ids = [each["id"] for each in objects]
    if after and after not in ids:
        raise Refusal(
            "gateway.bad_request",
            "There is nothing of the id in `after`.",
            action="Give the id of the last object of the page before.",
            param="after",
        )
    start = ids.index(after) + 1 if after else 0
    shown = list(objects[start : start + limit])
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + limit < len(objects),
    }
