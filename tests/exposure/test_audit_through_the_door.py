"""``strongroom audit`` as an owner runs it: a real server, a gate that fails, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from strongroom.cli.audit_demo import safetensors
from strongroom.exposure.interface import Records
from strongroom.exposure.results import read
from tests.cli.conftest import COMMAND, Said, command, strongroom  # noqa: F401

from .small import CONFIG, digits, train

pytestmark = pytest.mark.slow

GATE = """
[[limit]]
family = "reverse engineering"
rung = "granted"
at_most = 0.5
"""


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, a narrow model (its width shows in logits), sealed at label and at logits."""
    work = tmp_path_factory.mktemp("owner")
    config = dict(CONFIG)
    config["layers"] = [
        {"type": "flatten"},
        {"type": "linear", "name": "first", "features": 5},
        {"type": "linear", "name": "last", "features": 10},
    ]
    data = digits()
    first = Records(data.inputs[:300], data.labels[:300])
    module = train(first, 1, epochs=80, config=config)
    named = dict(zip(("first", "last"), (module[2], module[3]), strict=True))
    tensors = {
        f"{name}.{part}": values.detach().numpy()
        for name, layer in named.items()
        for part, values in layer.named_parameters()
    }
    plain = work / "digits"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(config))
    (plain / "model.safetensors").write_bytes(safetensors(tensors))
    member = np.zeros(len(data), dtype=np.int64)
    member[:300] = 1
    np.savez(work / "data.npz", inputs=data.inputs, labels=data.labels, member=member)
    (work / "gate.toml").write_text(GATE)
    home = work / "home"
    command("init", "--home", home)
    for rung in ("label", "logits"):
        out = work / f"{rung}.sealed"
        command("--home", home, "seal", plain, "--out", out, "--rung", rung, "--model-id", rung)
    return work


def audit(runs, owner: Path, rung: str, *words: str | Path) -> Said:  # type: ignore[no-untyped-def]
    asked = ("audit", owner / f"{rung}.sealed", "--data", owner / "data.npz", *words)
    return runs("--home", owner / "home", *asked)  # type: ignore[no-any-return]


def test_a_gate_fails_when_the_policy_is_loosened(strongroom, owner: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    out, page = owner / "logits.json", owner / "logits.html"
    words = (
        "--attacks",
        "hidden-size",
        "--rungs",
        "logits",
        "--gate",
        owner / "gate.toml",
    )
    said = audit(strongroom, owner, "logits", *words, "--json", out, "--html", page)
    assert said.code == 11, said.err
    assert "Gate: reverse engineering at logits: hidden-size reaches facts found 1.000" in said.err
    found = read(out)
    assert {cell.attack for cell in found.cells} == {"hidden-size"}
    for cell in found.cells:
        assert cell.status == "measured", cell.why
        assert cell.served
        assert cell.spent.queries > 0
        assert cell.figures[0].measured.interval.low <= cell.figures[0].measured.value
    assert found.granted == "logits"
    assert b"<script" not in page.read_bytes()
    home = ("--home", owner / "home")
    assert strongroom(*home, "report", "verify", out).code == 0
    raw = out.read_bytes()
    out.write_bytes(raw.replace(b'"payload":"e', b'"payload":"f'))
    assert strongroom(*home, "report", "verify", out, "--json").refusal == (
        "exposure.results_altered"
    )
    assert not list((owner / "home" / "state" / "audits").iterdir())
    tenants = strongroom(*home, "tenant", "list", "--json").json["tenants"]
    assert tenants == []


def test_the_same_gate_holds_under_the_default_policy(strongroom, owner: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    out = owner / "label.json"
    words = ("--attacks", "membership-loss,hidden-size", "--rungs", "label,logits")
    said = audit(strongroom, owner, "label", *words, "--gate", owner / "gate.toml", "--json", out)
    assert said.code == 0, said.err
    assert "The gate's 1 limits hold." in said.out
    found = {(cell.attack, cell.rung): cell for cell in read(out).cells}
    assert found["membership-loss", "label"].served
    assert not found["membership-loss", "logits"].served
    assert found["hidden-size", "logits"].figures[0].measured.value == 1
    assert "strongroom audit" in found["hidden-size", "logits"].command


def test_without_data_only_what_needs_none_is_measured(strongroom, owner: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    out = owner / "none.json"
    said = strongroom(
        "--home", owner / "home", "audit", owner / "label.sealed",
        "--attacks", "evasion-pgd,membership-gradients", "--rungs", "weights", "--json", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    for cell in read(out).cells:
        assert (cell.status, cell.severity) == ("unknown", "unknown")
        assert "the owner's data (--data)" in cell.why


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--attacks", "guess"), "exposure.unknown_attack"),
        (("--rungs", "top9"), "exposure.unknown_rung"),
        (("--gate", "absent.toml"), "exposure.bad_gate"),
        (("--data", "absent.npz"), "exposure.data_unreadable"),
    ],
)
def test_bad_input(strongroom, owner: Path, words: tuple[str, str], code: str) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    said = strongroom(
        "--home", owner / "home", "audit", owner / "label.sealed", "--rungs", "weights",
        *words, "--json",
    )  # fmt: skip
    assert said.code == 11
    assert said.refusal == code


def test_a_terminated_audit_goes_on_where_it_stopped(strongroom, owner: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """SIGTERM after the second cell: what is finished is kept, and not measured again."""
    home, out = owner / "home", owner / "resumed.json"
    words = (
        "--home", home, "audit", owner / "label.sealed", "--data", owner / "data.npz",
        "--rungs", "gradients,weights", "--seed", "3", "--json", out,
    )  # fmt: skip
    process = subprocess.Popen(
        [COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[2/"):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(60) == 130, rest
    assert not out.exists()
    (journal,) = (home / "state" / "audits").iterdir()
    kept = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(kept) >= 2
    with journal.open("ab") as file:
        file.write(b'{"attack":"torn')
    said = strongroom(*words)
    assert said.code == 0, said.err
    begun = [line.partition("] ")[2] for line in said.err.splitlines() if line.startswith("[")]
    finished = {f"{cell['attack']} at {cell['rung']}" for cell in kept}
    assert not finished & set(begun)
    cells = read(out).cells
    assert {f"{cell.attack} at {cell.rung}" for cell in cells} == finished | set(begun[:-1])
    assert msgspec.json.decode(msgspec.json.encode(cells[0])) == kept[0]
    assert not list((home / "state" / "audits").iterdir())


def test_a_door_that_dies_ends_the_audit_and_keeps_what_was_measured(owner: Path) -> None:
    """Kill the server's keeper after the first served cell."""
    home = owner / "home"
    words = (
        "--home", home, "audit", owner / "label.sealed", "--data", owner / "data.npz",
        "--attacks", "membership-loss,cloning,evasion-label", "--rungs", "label", "--seed", "5",
    )  # fmt: skip
    process = subprocess.Popen(
        [COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/"):
            break
    for serving in children(process.pid):
        os.kill(serving, signal.SIGKILL)
    rest = process.stderr.read()
    assert process.wait(60) == 11, rest
    assert "what was measured until then is kept" in rest
    (journal,) = (home / "state" / "audits").iterdir()
    assert b'"membership-loss"' in journal.read_bytes()
    journal.unlink()


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started, by any of its threads."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for each in found for number in each.read_text().split()]
