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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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
    from strongroom.cli.auditing import Asked

_CLASSIFIER_RUNGS = ("label", "rung-top1=top1", "rung-topk=topk", "rung-logits=logits")
_LANGUAGE_RUNGS = ("text", "rung-topk=topk")


PARTS = ("demo-classifier", "demo-language")
"""The two models; ``demo`` is both."""


def demo(named: str, asked: Asked, outputs: Outputs) -> None:
    """Audit the demo classifier, and the demo language model where its base is there.

    Where the language model is not in the cache, it is trained on one processor while the
    classifier is audited.

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
        with training() if named == "demo" else nullcontext() as trained:
            for part, prepare in zip(PARTS, (_classifier, _language), strict=True):
                if named not in {"demo", part}:
                    continue
                if part == "demo-language" and trained is not None:
                    trained()
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


@contextmanager
def training() -> Iterator[Callable[[], None]]:
    """Train the language model in a process of its own, if it must be; gives how to wait for it.

    Whether it succeeded is seen by whoever needs the model: what is missing then is made there, or
    refused there.
    """
    from strongroom.exposure.demo import language

    if not language.is_missing():
        yield lambda: None
        return
    output.note("Training the demonstration's language model beside the audit, some minutes, once.")
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom.exposure.demo.language"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def wait() -> None:
        if process.poll() is None:
            output.note("Waiting for the language model.")
            process.wait()

    try:
        yield wait
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def _language(work: Path, home: Path, asked: Asked) -> Asked | None:
    """The sealed demo language model with its corpus, base and handed-out releases."""
    from strongroom.cli.audit_exports import demo_exports
    from strongroom.cli.audit_poisoned import demo_poisoned
    from strongroom.exposure.demo import language

    try:
        base = language.base_folder()
    except ExposureRefused as error:
        output.note(f"The language model is left out. {error.message} {error.action}")
        return None
    folder = language.ensure_demo_language(say=output.note)
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
        poisoned=partial(demo_poisoned, folder, output.note),
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
