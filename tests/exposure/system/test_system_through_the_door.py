"""The system's own cells as an owner gets them: sealed files, a real door, a real keeper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from strongroom.cli.audit_demo import safetensors
from strongroom.exposure.results import read
from tests.cli.conftest import strongroom  # noqa: F401
from tests.exposure.small import CONFIG, some, train

pytestmark = pytest.mark.slow


def test_files_door_and_keeper_are_attacked(strongroom, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    home, plain, out = tmp_path / "home", tmp_path / "plain", tmp_path / "out.json"
    module = train(some(0, 200), 1, epochs=20)
    named = dict(zip(("first", "last"), (module[2], module[4]), strict=True))
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(CONFIG))
    tensors = {
        f"{name}.{part}": np.asarray(values.detach())
        for name, layer in named.items()
        for part, values in layer.named_parameters()
    }
    (plain / "model.safetensors").write_bytes(safetensors(tensors))
    sealed = tmp_path / "m.sealed"
    assert strongroom("init", "--home", home).code == 0
    words = ("seal", plain, "--out", sealed, "--rung", "label", "--model-id", "m")
    assert strongroom("--home", home, *words).code == 0
    before = {path.name: path.read_bytes() for path in sealed.iterdir()}
    names = "sealed-edit,sponge,many-keys,exfiltration,activity-timing,memory-flip"
    page = tmp_path / "out.html"
    words = ("--attacks", names, "--json", out, "--html", page)
    said = strongroom("--home", home, "audit", sealed, *words)
    assert said.code == 0, said.err
    cells = {cell.attack: cell for cell in read(out).cells}
    assert set(cells) == set(names.split(","))
    flipped = cells["memory-flip"]
    if "exposure.memory_closed" in flipped.why:  # only root may
        assert flipped.status == "not_measurable"
    else:
        assert flipped.figures[0].measured.value == 0, flipped.sentence
        assert "2 of 2 stand in the record, 2 of 2 were served afresh" in flipped.sentence
        assert flipped.severity == "none"
    for cell in cells.values():
        assert cell is flipped or cell.status == "measured", (cell.attack, cell.why)
    assert (cells["sealed-edit"].rung, cells["sponge"].rung) == ("closed", "label")
    assert [cells[name].served for name in ("many-keys", "sealed-edit")] == [True, False]
    assert cells["sealed-edit"].figures[0].measured.value == 0
    assert cells["sealed-edit"].figures[1].measured.value == 0
    assert cells["many-keys"].severity == "none"
    assert cells["many-keys"].spent.refusals == {"gateway.limit_too_small": 14}
    assert 0.9 < cells["exfiltration"].figures[1].measured.value <= 1
    assert set(cells["exfiltration"].spent.refusals) == {"keeper.egress_exhausted"}
    assert cells["sponge"].figures[0].measured.value > 1
    assert "A taken-over gateway carried out" in page.read_text(encoding="utf-8")
    assert {path.name: path.read_bytes() for path in sealed.iterdir()} == before
    assert strongroom("--home", home, "tenant", "list", "--json").json["tenants"] == []
