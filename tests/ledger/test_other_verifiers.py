"""Other implementations accept what the writer wrote, and refuse it once it is changed.

``second_verifier`` is ours, from the specifications. ``aics_tlog`` (PyPI ``aics-tlog``) is somebody
else's; its test is skipped where the package is not installed (it asks for Python 3.12).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from strongroom.ledger import entries
from tests.ledger import second_verifier
from tests.ledger.logs import World, make_world

SIZES = [(0,), (1,), (255,), (256,), (257,), (100, 200, 300), (1500,)]


@pytest.fixture(params=SIZES, ids=str)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return make_world(tmp_path / "home", *request.param)


def test_the_second_verifier_accepts_the_log(filled: World) -> None:
    found = second_verifier.check(filled.folder, filled.key.verifier(filled.name).encode())
    assert [entries.decode(raw).index for raw in found] == list(range(len(found)))


def test_the_second_verifier_refuses_a_flipped_bit(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", 300)
    vkey = world.key.verifier(world.name).encode()
    for name in ("tile/0/000", "tile/entries/001.p/44", "tile/1/000.p/1"):
        path = world.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(AssertionError):
            second_verifier.check(world.folder, vkey)
        path.write_bytes(whole)
    assert len(second_verifier.check(world.folder, vkey)) == 300


def test_somebody_elses_verifier_accepts_the_log(filled: World) -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    vkey = aics.parse_vkey(filled.key.verifier(filled.name).encode())
    checkpoint, note = aics.checkpoint.checkpoint_from_note(
        (filled.folder / "checkpoint").read_bytes()
    )
    assert aics.verify_checkpoint(note, vkey, [], quorum=0).ok
    reader = aics.FileSystemTileReader(filled.folder)
    if checkpoint.size == 0:
        assert checkpoint.root == hashlib.sha256(b"").digest()
        return
    assert aics.tree_root_from_tiles(reader, checkpoint.size) == checkpoint.root
    aics.audit_tiles(reader, checkpoint.size, checkpoint.root)
    for index in {0, checkpoint.size // 2, checkpoint.size - 1}:
        entry = aics.read_entry(reader, index, checkpoint.size)
        proof = aics.inclusion_proof_from_tiles(reader, index, checkpoint.size)
        assert aics.verify_leaf_inclusion(entry, index, checkpoint.size, proof, checkpoint.root)
