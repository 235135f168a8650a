"""What ``strongroom audit`` does, apart from reading its options and showing its results."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import strongroom
from strongroom.cli.audit_key import public_key
from strongroom.cli.audit_opening import Opened, opened
from strongroom.cli.audit_serving import ServedDoor, organisations, served
from strongroom.cli.auditing_endpoint import Endpoint, endpoint_subject, granted_by
from strongroom.cli.auditing_system import places
from strongroom.cli.home import Home
from strongroom.exposure import audit, registry
from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.data import Corpus, Split, read_corpus, read_records
from strongroom.exposure.judge.activations import Exports
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import MODEL_TYPE, classifier_of
from strongroom.exposure.plan import omitted, plan, rungs_named
from strongroom.exposure.results import Model, Results
from strongroom.exposure.resume import Journal
from strongroom.exposure.subjects.classifier import ClassifierSubject
from strongroom.exposure.subjects.interface import SCALES, Opener, Scale, Subject
from strongroom.exposure.subjects.system import Whole
from strongroom.exposure.targets.served_classifier import open_served_classifier
from strongroom.report.evidence import gathered

if TYPE_CHECKING:
    from strongroom.cli.audit_poisoned import Made


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. ``data`` is a file, or the demo's own records.

    ``shown`` is what the command that runs a cell again calls the model; ``adapter`` and ``goals``
    are what the demo hands out and asks for, ``exports`` and ``poisoned`` the adapters that it
    made for drills; ``endpoint`` is asked in place of a sealed model.
    """

    sealed: Path
    data: Path | Split | Corpus | None
    rungs: tuple[str, ...]
    attacks: tuple[str, ...]
    budget: str
    seed: int
    fresh: bool
    passphrase_file: Path | None
    cache: Path | None
    base: Path | None = None
    shown: str = ""
    adapter: Mapping[str, Any] | None = None
    goals: tuple[Goal, ...] = ()
    exports: Callable[[], Exports] | None = None
    poisoned: Callable[[], Made] | None = None
    epsilon: float = 0.06
    endpoint: Endpoint | None = None
    evidence: tuple[Path, ...] = ()


def measure(home: Home, asked: Asked, progress: audit.Progress | None) -> Results:
    """Open, serve, attack, and put together what was found.

    Raises:
        StrongroomError: the model, the home, the data or an argument is not acceptable, or the
            server ended; finished cells are kept in the home's state.
    """
    rungs, scale = rungs_named(asked.rungs), SCALES[asked.budget]
    gathered(asked.evidence, public_key(home), "")  # refuse a bad file before hours of measuring
    with ExitStack() as stack:
        if asked.endpoint is not None:
            return _run(home, asked, *_at_endpoint(asked, asked.endpoint, scale), progress)
        model = stack.enter_context(opened(home, asked.sealed, asked.passphrase_file))
        kind = "classifier" if model.config.get("model_type") == MODEL_TYPE else "causal-lm"
        registry.chosen(kind, asked.attacks)  # refuse a wrong name before a server is started
        door: ServedDoor | None = None
        granted = organisations(model.rungs)
        if granted and (not rungs or set(granted) & set(rungs)):
            if progress is not None:
                progress(0, 1, "starting strongroom serve")
            door = stack.enter_context(
                served(home, asked.sealed, model.rungs, asked.passphrase_file)
            )
        subject, digest = subject_of(home, kind, model, asked, scale, door)
        around = places(home, model, door, kind, stack, asked.seed)
        if kind == "causal-lm":
            from strongroom.cli.auditing_language import gate_places

            around += gate_places(home, model, scale, asked)
        subject = Whole(subject, around)
        named = Model(model.name, kind, model.release, model.digest, model.rungs)
        return _run(home, asked, named, subject, digest, progress)


def _run(
    home: Home,
    asked: Asked,
    model: Model,
    subject: Subject,
    data_digest: str,
    progress: audit.Progress | None,
) -> Results:
    """Attack, cell by cell, and put the results together."""
    began, started = datetime.now(UTC), time.monotonic()
    scale, versions = SCALES[asked.budget], versions_used()
    attacks = registry.chosen(model.kind, asked.attacks)
    depends = {
        "model": model.digest,
        "data": data_digest,
        "budget": asked.budget,
        "seed": str(asked.seed),
        **versions,
    }
    journal = Journal(home.state / "audits", depends)
    if asked.fresh:
        journal.forget()
    rungs = rungs_named(asked.rungs)
    planned = plan(subject, attacks, rungs, scale)
    cells = audit.run(
        subject,
        planned,
        scale,
        seed=asked.seed,
        command=_command(asked),
        versions=versions,
        journal=journal,
        progress=progress,
    )
    journal.forget()
    evidence = gathered(asked.evidence, public_key(home), "" if model.endpoint else model.digest)
    return Results(
        model=model,
        granted=granted_by(cells) if model.endpoint else model.rungs.get("*", "closed"),
        facts=subject.facts(),
        data_digest=data_digest,
        budget=asked.budget,
        seed=asked.seed,
        began=began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - started, 1),
        versions=versions,
        machine=_machine(),
        cells=tuple(cells),
        evidence=evidence,
        omitted=tuple(omitted(subject, registry.attacks_on(model.kind), planned, rungs)),
    )


def _at_endpoint(asked: Asked, endpoint: Endpoint, scale: Scale) -> tuple[Model, Subject, str]:
    data = read_corpus(asked.data) if isinstance(asked.data, Path) else None
    subject = endpoint_subject(endpoint, data, asked.base, scale, asked.seed)
    model = Model(endpoint.model, subject.kind, 0, endpoint.digest, {}, endpoint.url)
    return model, subject, _digest_of(asked.data)


def subject_of(
    home: Home, kind: str, model: Opened, asked: Asked, scale: Scale, door: ServedDoor | None
) -> tuple[Subject, str]:
    """The subject, and the digest of its data."""
    if kind == "classifier":
        return _classifier(model, asked, scale, door)
    from strongroom.cli.auditing_language import language_subject

    data = asked.data
    corpus = read_corpus(data) if isinstance(data, Path) else data
    if isinstance(corpus, Split):
        corpus = None
    subject = language_subject(home, model, corpus, scale, door, asked)
    return subject, _digest_of(data)


def _classifier(
    model: Opened, asked: Asked, scale: Scale, door: ServedDoor | None
) -> tuple[Subject, str]:
    classifier = classifier_of(model.config, model.tensors)
    data = asked.data
    split = (
        read_records(data, classifier.input_shape, len(classifier.labels))
        if isinstance(data, Path)
        else data
    )
    openers: dict[Rung, Opener] = {}
    for rung, key in (door.keys if door else {}).items():
        if door is not None and rung in ClassifierSubject.rungs and rung is not Rung.EMBEDDINGS:
            openers[rung] = partial(_open, door, key, classifier.labels, rung)
    subject = ClassifierSubject(
        classifier,
        model.config,
        split if isinstance(split, Split) else None,
        scale,
        openers,
        epsilon=asked.epsilon,
        cache=asked.cache,
        seed=asked.seed,
    )
    return subject, _digest_of(data)


def _open(door: ServedDoor, key: str, labels: tuple[str, ...], rung: Rung, budget: Any) -> Any:
    if rung is Rung.LABEL:
        door.use()
    else:
        door.renew()
    return open_served_classifier(door.url, key, door.model, labels, rung, budget)


def versions_used() -> dict[str, str]:
    """Of everything that figures depend on."""
    import numpy
    import torch

    return {
        "strongroom": strongroom.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }


def _machine() -> dict[str, str]:
    return {
        "processors": str(len(os.sched_getaffinity(0))),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _digest_of(data: Path | Split | Corpus | None) -> str:
    """SHA-256 of the data, hex; empty where none were given."""
    if data is None:
        return ""
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    seen = hashlib.sha256()
    if isinstance(data, Split):
        for array in (data.records.inputs, data.records.labels, data.member):
            seen.update(array.tobytes())
    else:
        seen.update(repr(data).encode())
    return seen.hexdigest()


def _command(asked: Asked) -> str:
    words = ["strongroom", "audit", asked.shown or str(asked.sealed)]
    if not isinstance(asked.data, Split | Corpus):  # the demo brings its own
        given = {"--base": asked.base, "--data": asked.data}
        words += [word for name, path in given.items() if path for word in (name, str(path))]
    if asked.endpoint is not None:
        words += asked.endpoint.words()
    options: Mapping[str, str] = {"--budget": asked.budget, "--seed": str(asked.seed)}
    words += [word for pair in options.items() for word in pair]
    return shlex.join(words)
