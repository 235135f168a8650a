"""What a student is to be made of: declared before the teacher is asked, kept to afterwards."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from strongroom.distil.language.plan import LanguagePlan
from strongroom.distil.reasons import refuse
from strongroom.exposure.attacks.vision.recipe import Recipe
from strongroom.exposure.ladder import Rung
from strongroom.report.canonical import canonical

Answers = Literal["labels", "votes", "logits"]
"""``labels``: the teacher's classes, the default. ``votes``: noisy majorities of an ensemble of the
owner's (PATE). ``logits``: soft labels, by grant."""

_MOST_BYTES = 1024 * 1024
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Epochs = Annotated[int, Meta(ge=1, le=10_000)]


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner allows beyond the default.

    ``teacher_tensors``: the student may hold tensors of the teacher, which releases those.
    """

    soft_labels: bool = False
    teacher_tensors: bool = False


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a student must keep to before it is released.

    ``utility``: of the teacher's accuracy. ``auc``, ``tpr``: of finding the teacher's training
    records, the latter at 1 % false positives. ``copied``: from independent models (0) to the
    teacher itself (1). ``transfer``: above it a warning, not a refusal.
    """

    utility: _Share = 0.90
    auc: _Share = 0.55
    tpr: _Share = 0.02
    copied: _Share = 0.5
    transfer: _Share = 0.7


class Plan(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="format",
    tag="strongroom student plan v1",
):
    """A student of a classifier. ``teacher`` and ``records`` are digests (SHA-256, hex) of manifest
    and file.

    ``queries``: rows that the teacher is asked at most. ``layers``: the student's, as a sealed
    classifier's configuration describes them; empty: the teacher's. ``noise``: standard deviation
    of votes, of ``voters``. ``teacher_epochs``: how long the teacher was trained, which an attacker
    may know. ``reach``: of adversarial changes, as a share of the input range.
    """

    teacher: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    model: Annotated[str, Meta(max_length=1024)]
    records: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    queries: Annotated[int, Meta(ge=1, le=10_000_000)]
    answers: Answers = "labels"
    temperature: Annotated[float, Meta(gt=0.0, le=100.0)] = 4.0
    layers: Annotated[tuple[dict[str, Any], ...], Meta(max_length=64)] = ()
    epochs: _Epochs = 40
    teacher_epochs: _Epochs = 40
    voters: Annotated[int, Meta(ge=2, le=1000)] = 10
    noise: Annotated[float, Meta(ge=0.0, le=1e6)] = 2.0
    reach: _Share = 0.125
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    grants: Grants = Grants()
    limits: Limits = Limits()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical plan, hex."""
        return hashlib.sha256(canonical(msgspec.to_builtins(self))).hexdigest()

    @property
    def rung(self) -> Rung:
        """What the teacher shows."""
        return Rung.LOGITS if self.answers == "logits" else Rung.LABEL

    def require_granted(self) -> None:
        """Refuse what the owner did not allow.

        Raises:
            ExposureRefused: ``distil.soft_labels_not_granted``.
        """
        if self.answers == "logits" and not self.grants.soft_labels:
            raise refuse("distil.soft_labels_not_granted")

    def recipe(self, config: dict[str, Any]) -> Recipe:
        """How the student is trained, given the teacher's configuration."""
        return _recipe(config, self.layers or tuple(config["layers"]), self.epochs)

    def teachers(self, config: dict[str, Any]) -> Recipe:
        """How another teacher would be trained."""
        return _recipe(config, tuple(config["layers"]), self.teacher_epochs)


def _recipe(config: dict[str, Any], layers: tuple[dict[str, Any], ...], epochs: int) -> Recipe:
    mean, std = float(config.get("input_mean", 0.0)), float(config.get("input_std", 1.0))
    return Recipe(layers, tuple(config["input_shape"]), mean, std, epochs=epochs)


AnyPlan = Plan | LanguagePlan
"""Told apart by ``format``."""


def read_plan(path: Path) -> AnyPlan:
    """The plan in ``path``, with all that it asks for granted.

    Raises:
        ExposureRefused: ``distil.plan_malformed``, or what ``require_granted`` refuses.
    """
    try:
        with path.open("rb") as file:
            plan: AnyPlan = msgspec.json.decode(file.read(_MOST_BYTES), type=AnyPlan)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refuse("distil.plan_malformed", path=path, why=str(error)[:200]) from None
    plan.require_granted()
    return plan
