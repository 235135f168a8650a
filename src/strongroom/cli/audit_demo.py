"""``strongroom audit demo``: the project's own models, made, sealed and audited in one go.

The home is a temporary one. The sealed policy grants the default rung to everybody and each higher
served rung to one organisation, so that the whole served part of the matrix runs through the door.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strongroom.cli import output
from strongroom.cli.audit_serving import run_strongroom
from strongroom.cli.home import open_home
from strongroom.errors import ExposureRefused
from strongroom.exposure.data import Split
from strongroom.exposure.interface import Records

if TYPE_CHECKING:
    from strongroom.cli.audit import Outputs
    from strongroom.cli.audit_poisoned import Made
    from strongroom.cli.auditing import Asked

    Prepare = Callable[[Path, Path, Asked], Asked | None]

_CLASSIFIER_RUNGS = ("label", "rung-top1=top1", "rung-topk=topk", "rung-logits=logits")
_LANGUAGE_RUNGS = ("text", "rung-topk=topk")
_LAST = 19
"""Nice value of what is trained beside the audit: attacks are bounded by seconds, and a server
whose threads wait for one another answers several times slower beside a process of its rank."""
_LOOK = 0.5
"""Seconds between two looks for the language model."""

PARTS = ("demo-classifier", "demo-language")
"""The two models; ``demo`` is both."""


def demo(named: str, asked: Asked, outputs: Outputs) -> None:
    """Audit the demo classifier, and the demo language model where its base is there.

    What is not in the cache of the language model and of the adapters that its gate is shown is
    trained on one processor while the rest is audited.

    Args:
        named: ``demo``, or one of ``PARTS``.
        asked: what to measure of each.
        outputs: where results go.

    Raises:
        StrongroomError: as an audit of any other model; ``exposure.gate_failed`` after both.
    """
    work = Path(tempfile.mkdtemp(prefix="strongroom-demo-"))
    failed: ExposureRefused | None = None
    try:
        home = work / "home"
        run_strongroom("init", "--name", "audit demo", "--home", home)
        opened = open_home(home)
        with ExitStack() as stack:
            prepares: dict[str, Prepare] = {PARTS[0]: _classifier}
            if named != PARTS[0]:
                prepares[PARTS[1]] = partial(_language, stack.enter_context(training(asked)))
            for part, prepare in prepares.items():
                if named not in {"demo", part}:
                    continue
                mine = prepare(work, home, replace(asked, shown=part))
                if mine is None:
                    continue
                try:
                    suffix = part.removeprefix("demo") if named == "demo" else ""
                    outputs.write(opened, outputs.measured(opened, mine), suffix)
                except ExposureRefused as error:
                    if error.code != "exposure.gate_failed":
                        raise
                    failed = error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if failed is not None:
        raise failed


class Training:
    """What is made beside the audit, and how to wait for it.

    Whether it succeeded is seen by whoever needs it: what is missing then is made there, or refused
    there.

    Args:
        process: what makes it; None: nothing is missing.
        model: the file of the language model's weights, which is made first.
    """

    def __init__(self, process: subprocess.Popen[bytes] | None, model: Path) -> None:
        self._process, self._model = process, model

    def wait_for_model(self) -> None:
        """Until the language model is there."""
        if self._running and not self._model.is_file():
            output.note("Waiting for the language model.")
            while self._running and not self._model.is_file():
                time.sleep(_LOOK)

    def wait(self) -> None:
        """Until everything is there."""
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        """Stop it."""
        if self._process is not None and self._running:
            self._process.terminate()
        self.wait()

    @property
    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None


@contextmanager
def training(asked: Asked) -> Iterator[Training]:
    """Train the language model, and the adapters that its gate is shown, in a process of its own.

    Nothing is trained that is in the cache, that is not asked for, or whose base is not there.
    """
    from strongroom.cli import audit_poisoned
    from strongroom.exposure.demo import language

    try:
        model = language.model_folder()
    except ExposureRefused:
        yield Training(None, Path())
        return
    weights, words = model / "model.safetensors", [language.__name__]
    wanted = [weights]
    if _drilled(asked):
        names = _adapters(asked)
        words = [audit_poisoned.__name__, *(["--quick"] if names == audit_poisoned.QUICK else [])]
        wanted.append(audit_poisoned.demo_file(model, names))
    if all(path.is_file() for path in wanted):
        yield Training(None, weights)
        return
    output.note("Training what the demonstration lacks beside the audit, some minutes, once.")
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, _LAST)
    made = Training(process, weights)
    try:
        yield made
    finally:
        made.end()


def _drilled(asked: Asked) -> bool:
    """Whether the gate of adapters is to be shown some."""
    from strongroom.exposure import registry
    from strongroom.exposure.ladder import Rung
    from strongroom.exposure.plan import rungs_named

    rungs = rungs_named(asked.rungs)
    attacks = registry.chosen("causal-lm", asked.attacks)
    names = {attack.name for attack in attacks}
    return "poisoned-adapter" in names and (not rungs or Rung.ADAPTER in rungs)


def _adapters(asked: Asked) -> tuple[str, ...]:
    """Which of them."""
    from strongroom.cli.audit_poisoned import EVERY, QUICK
    from strongroom.exposure.subjects.interface import SCALES

    return EVERY if SCALES[asked.budget].all_knowledge else QUICK


def _language(beside: Training, work: Path, home: Path, asked: Asked) -> Asked | None:
    """The sealed demo language model with its corpus, base and handed-out releases."""
    from strongroom.cli.audit_exports import demo_exports
    from strongroom.cli.audit_poisoned import demo_poisoned
    from strongroom.exposure.demo import language

    try:
        base = language.base_folder()
    except ExposureRefused as error:
        output.note(f"The language model is left out. {error.message} {error.action}")
        return None
    beside.wait_for_model()
    folder = language.ensure_demo_language(say=output.note)

    def poisoned() -> Made:
        beside.wait()
        return demo_poisoned(folder, output.note, _adapters(asked))

    plain, sealed = work / "demo-language", work / "demo-language.sealed"
    kept = shutil.ignore_patterns("done", "releases.safetensors")
    shutil.copytree(folder, plain, ignore=kept)
    rungs = [word for rung in _LANGUAGE_RUNGS for word in ("--rung", rung)]
    run_strongroom("seal", plain, "--out", sealed, *rungs, "--home", home)
    shutil.rmtree(plain)
    return replace(
        asked,
        sealed=sealed,
        data=language.demo_corpus(),
        base=base,
        adapter=language.read_releases(folder),
        goals=language.demo_goals(),
        exports=partial(demo_exports, folder, output.note),
        poisoned=poisoned,
    )


def _classifier(work: Path, home: Path, asked: Asked) -> Asked:
    """The sealed demo classifier with its records and the distance allowed in evasion."""
    from strongroom.exposure.demo.classifier import demo_classifier

    made = demo_classifier()
    plain, sealed = work / f"demo-{made.name}", work / f"demo-{made.name}.sealed"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(made.config), encoding="utf-8")
    (plain / "model.safetensors").write_bytes(safetensors(made.tensors()))
    rungs = [word for rung in _CLASSIFIER_RUNGS for word in ("--rung", rung)]
    run_strongroom("seal", plain, "--out", sealed, *rungs, "--home", home)
    records = [made.candidates, made.attacker, made.held]
    inputs = np.concatenate([part.inputs for part in records])
    labels = np.concatenate([part.labels for part in records])
    member = np.zeros(len(labels), dtype=bool)
    member[: len(made.members)] = made.members
    split = Split(Records(inputs, labels), member)
    return replace(asked, sealed=sealed, data=split, epsilon=made.plan.epsilon)


def safetensors(tensors: dict[str, Any]) -> bytes:
    """Float32 arrays as a safetensors file."""
    header: dict[str, Any] = {}
    body = b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
