"""``strongroom audit demo``: the project's own models, made, sealed and audited in one go.

The home is a temporary one. The sealed policy grants the default rung to everybody and each higher
served rung to one organisation, so that the whole served part of the matrix runs through the door.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strongroom.cli.audit_serving import run_strongroom
from strongroom.cli.home import open_home
from strongroom.exposure.data import Split
from strongroom.exposure.interface import Records

if TYPE_CHECKING:
    from strongroom.cli.audit import Outputs
    from strongroom.cli.auditing import Asked

_CLASSIFIER_RUNGS = ("label", "rung-top1=top1", "rung-topk=topk", "rung-logits=logits")


def demo(asked: Asked, outputs: Outputs) -> None:
    """Audit the demo classifier; see the module.

    Raises:
        StrongroomError: as an audit of any other model.
    """
    work = Path(tempfile.mkdtemp(prefix="strongroom-demo-"))
    try:
        home = work / "home"
        run_strongroom("init", "--name", "audit demo", "--home", home)
        sealed, split, epsilon = _classifier(work, home)
        opened = open_home(home)
        mine = replace(asked, sealed=sealed, data=split, epsilon=epsilon, shown="demo")
        outputs.write(opened, outputs.measured(opened, mine))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _classifier(work: Path, home: Path) -> tuple[Path, Split, float]:
    """The sealed demo classifier, its records, and the distance allowed in evasion."""
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
    return sealed, Split(Records(inputs, labels), member), made.plan.epsilon


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
