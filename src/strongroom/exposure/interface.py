"""What an attack is: a goal, the rungs at which it runs, what it must know, and ``run``.

An attack gets a target of one rung, knowledge and a budget, and returns *claims*: scores, inputs,
clones, reconstructions, facts. Never a metric: the truth is with the judge, which computes metric,
null and interval from the claims. One claim a point of the attacker's budget makes the curve.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from strongroom.exposure.ladder import Rung

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


class Knows(StrEnum):
    """The third axis: what the attacker has besides the target."""

    NOTHING = "nothing"
    DATA = "in-distribution data"
    RECIPE = "recipe and shadow models"
    BASE = "public base model"


class Family(StrEnum):
    """What an attack is after; one judge serves one family."""

    MEMBERSHIP = "membership"
    INVERSION = "inversion"
    EXTRACTION = "extraction"
    CLONING = "cloning"
    REVERSE = "reverse engineering"
    BASE = "base from adapters"
    EVASION = "evasion"
    OUTPUT = "targeted output"
    TAMPERING = "tampering"
    ABUSE = "abuse"


@dataclass(frozen=True)
class Budget:
    """What the attacker may spend: the target enforces ``queries``, the attack ``seconds``.

    ``points`` are the numbers of queries at which an attack that can should state a claim.
    """

    queries: int
    seconds: float
    points: tuple[int, ...] = ()


@dataclass(frozen=True)
class Knowledge:
    """What the attacker has, and what is asked of it.

    Attributes:
        level: the state of knowledge; an attack refuses a level that it does not list.
        asked: the family's question. Membership: ``Records`` or texts to be judged. Evasion:
            ``Records`` to be perturbed. Cloning: nothing. Others: see the family's judge.
        data: in-distribution data that are nobody's secret (``Records``, or texts).
        recipe: how the target was made, for a classifier ``attacks.vision.recipe.Recipe``: who has
            it trains reference models and clones of the target's own kind.
        references: models of that recipe that are shared between attacks, for a classifier
            ``attacks.vision.references.References`` over the rows asked about (membership) or
            clean ones (backdoor screens).
        base: the public base of a fine-tuned model: a target of the weights rung.
        public: public facts by name. Classifier: ``labels`` (names), ``input_shape``,
            ``input_range`` (low, high); evasion adds ``epsilon``, the L-infinity distance allowed,
            in units of the inputs. Language model: a tokenizer.
    """

    level: Knows
    asked: Any = None
    data: Any = None
    recipe: Any = None
    references: Any = None
    base: Any = None
    public: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Records:
    """Labelled rows of a classifier's data: inputs (n, *shape) float32, labels (n,) int64."""

    inputs: Floats
    labels: Integers

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Claim:
    """Base of what attacks return; ``queries`` spent when it was made."""

    queries: int


@dataclass(frozen=True)
class Scores(Claim):
    """Membership: one number a record asked about, higher meaning "was trained on"."""

    scores: Floats


@dataclass(frozen=True)
class Reconstructions(Claim):
    """Inversion: one input for each class or record asked about, (n, *shape)."""

    inputs: Floats


@dataclass(frozen=True)
class Texts(Claim):
    """Extraction: for each prompt asked about, the continuations that were obtained."""

    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Ranks(Claim):
    """Extraction of canaries: for each, how many of ``space`` secrets the target likes better.

    ``exact`` says whether each rank is exact or an upper bound on what could be shown.
    """

    ranks: Floats
    space: int
    exact: tuple[bool, ...]


@dataclass(frozen=True)
class Clone(Claim):
    """Cloning: ``predict(inputs)`` gives the clone's logits, (rows, classes)."""

    predict: Callable[[Floats], Floats]


@dataclass(frozen=True)
class LanguageClone(Claim):
    """Cloning of a language model: ``predict(rows)`` says of each row of tokens what comes next.

    After each token but the last: the clone's likeliest next token, and the log-probability that it
    gives to the one that follows, each (length - 1,).
    """

    predict: Callable[[Sequence[Sequence[int]]], list[tuple[Integers, Floats]]]


@dataclass(frozen=True)
class Facts(Claim):
    """Reverse engineering, base recovery: what was found out, by name; arrays or numbers."""

    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Inputs(Claim):
    """Evasion: a perturbed input for each record asked about, (n, *shape)."""

    inputs: Floats


@dataclass(frozen=True)
class Prompts(Claim):
    """Targeted output: for each target asked about, the prompt found; tokens spent in ``cost``."""

    prompts: tuple[str, ...]
    cost: int


@dataclass(frozen=True)
class Alarms(Claim):
    """Tampering, screens: for each object asked about, whether something fired, and its score."""

    fired: tuple[bool, ...]
    scores: Floats


@dataclass(frozen=True)
class Spending(Claim):
    """Abuse: amounts by name, for what the attacker did and for benign use of as many requests."""

    attacked: Mapping[str, float]
    benign: Mapping[str, float]


class Attack(ABC):
    """One attack.

    Class attributes:
        name: stable, kebab-case; names the cell.
        family: which judge judges it.
        goal: an imperative sentence.
        rungs: the rungs whose target it can use, least first; it needs no more than that.
        knowledge: the states of knowledge at which it runs.
        applies: kinds of model that it attacks.
        taxonomy: ids of public frameworks, as ``framework:id``, all known to ``standards``.
        source: the paper or specification.
        cost: what a run costs, in words.
        system: whether it is on the system around a model, and needs a place there.
        quick: its rungs in the smallest budget, where those of ``rungs`` would take too long.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    goal: ClassVar[str]
    rungs: ClassVar[tuple[Rung, ...]]
    knowledge: ClassVar[tuple[Knows, ...]]
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]]
    taxonomy: ClassVar[tuple[str, ...]]
    source: ClassVar[str]
    cost: ClassVar[str]
    system: ClassVar[bool] = False
    quick: ClassVar[tuple[Rung, ...] | None] = None

    @abstractmethod
    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Attack ``target`` and claim what was found, in the order of queries spent.

        Args:
            target: an object of one of ``rungs``, see ``targets.interface``.
            knowledge: what the attacker has, at a level of ``knowledge``.
            budget: queries and seconds.
            seed: of everything random.

        Raises:
            ExposureRefused: from the target, where no claim can be made with what was learnt
                before it stopped (``reasons.stops``); ``exposure.knowledge_lacking``.
        """

    def __repr__(self) -> str:
        """The constructor's arguments, so that a row of a report can be run again."""
        given = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({given})"
