"""Our vectors, against the reader and against a second one that shares no code with it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.artifact import canonical
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import open_sealed
from strongroom.artifact.reasons import REASONS
from strongroom.artifact.signing import PublicSigner
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.artifact.verify import verify
from strongroom.errors import StrongroomError

from . import second_reader

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sealed-model-v1"
NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))


def load(name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The vector and the files that it describes."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    files = {p.name: p.read_bytes() for p in (VECTORS / vector["base"]).iterdir()}
    for edit in vector["edits"]:
        if edit.get("delete"):
            del files[edit["file"]]
            continue
        raw = files.get(edit["file"], b"")
        head, tail = raw[: edit["at"]], raw[edit["at"] + edit["remove"] :]
        files[edit["file"]] = head + bytes.fromhex(edit["insert"]) + tail
    return vector, files


@pytest.mark.parametrize("with_key", [True, False], ids=["open", "verify"])
@pytest.mark.parametrize("name", NAMES)
def test_our_reader(name: str, with_key: bool, tmp_path: Path) -> None:
    vector, files = load(name)
    folder = tmp_path / "sealed"
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    state = None
    if vector["record"]:
        models = {"vectors/model": vector["record"]}
        state = ReleaseState(tmp_path / "state.json")
        (tmp_path / "state.json").write_bytes(canonical.encode({"models": models, "version": 1}))
    trust = Trust([PublicSigner.decode(vector["signer"])])
    now = datetime.fromisoformat(vector["now"])
    key = DataKey(bytes.fromhex(vector["key"]))
    outcome, opened = "success", None
    try:
        if with_key:
            opened = open_sealed(
                folder, key, trust=trust, state=state, strict=vector["strict"], now=now
            )
        else:
            verify(folder, trust=trust, state=state, now=now)
    except StrongroomError as refusal:
        outcome = refusal.code
    assert outcome == vector["expect" if with_key else "expect_without_key"]
    if opened is not None and "tensors" in vector:
        assert vector["files"] == {n: sha256(raw) for n, raw in opened.files.items()}
        assert vector["tensors"] == {
            n: {
                "dtype": t.dtype,
                "shape": list(t.shape),
                "sha256": sha256(opened.arena[t.offset : t.offset + t.nbytes]),
            }
            for n, t in opened.tensors.items()
        }


@pytest.mark.parametrize("with_key", [True, False], ids=["open", "verify"])
@pytest.mark.parametrize("name", NAMES)
def test_a_second_reader(name: str, with_key: bool) -> None:
    vector, files = load(name)
    outcome, read = "success", None
    try:
        read = second_reader.read(files, vector, with_key)
    except second_reader.Refused as refusal:
        outcome = f"artifact.{refusal}"
    assert outcome == vector["expect" if with_key else "expect_without_key"]
    if read is not None and "tensors" in vector:
        assert read == {"tensors": vector["tensors"], "files": vector["files"]}


def test_every_reason_a_vector_can_show_has_one() -> None:
    """What no file can show is listed here, so that a new reason is not forgotten."""
    elsewhere = {"not_found", "plain_model", "unfinished_seal", "not_regular_file", "unreadable",
                 "changed_while_reading", "state_damaged", "state_unwritable",
                 "not_enough_memory"}  # fmt: skip
    sealing = {"no_model", "ambiguous_model", "code_in_model", "file_not_allowed",
               "source_malformed", "source_index_malformed", "destination_exists", "disk_full",
               "write_failed", "no_recipients", "bad_argument", "bad_signer"}  # fmt: skip
    shown = {load(name)[0]["expect"] for name in NAMES} - {"success"}
    assert shown == {code for code in REASONS if code[9:] not in elsewhere | sealing}


def test_the_readme_of_the_vectors_names_every_member() -> None:
    text = (VECTORS.parent / "README.md").read_text()
    members = {member for name in NAMES for member in load(name)[0]} - {"origin"}
    assert all(f"`{member}`" in text for member in members)


def sha256(raw: bytes | memoryview) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_vectors_exist() -> None:
    assert len(NAMES) >= 60
