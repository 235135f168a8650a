from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from wrapper_contract import CONTEXT, check_contract, code_of

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys import keyring_file
from strongroom.keys.keyring import FileKeyring

PASSPHRASE = b"correct horse battery"


@pytest.fixture(autouse=True)
def cheap_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """New keyrings at the floor of what is accepted, for speed; one test takes the default."""
    strong = keyring_file.fresh_protection

    def cheap(passphrase: bytes) -> keyring_file.Passphrase:
        salt = strong(passphrase).salt
        return keyring_file.Passphrase(salt, iterations=1, lanes=1, memory_kib=19 * 1024)

    monkeypatch.setattr(keyring_file, "fresh_protection", cheap)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def edit(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_contract(tmp_path: Path, passphrase: bytes | None) -> None:
    ours = FileKeyring.create(tmp_path / "a", passphrase)
    other = FileKeyring.create(tmp_path / "b", passphrase)
    stanza = check_contract(ours, other)
    FileKeyring.open(tmp_path / "a", passphrase).unwrap(stanza, CONTEXT)


def test_default_cost_is_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    FileKeyring.create(path, PASSPHRASE)
    protection = json.loads(path.read_text())["protection"]
    assert protection["type"] == "argon2id"
    found = [protection[name] for name in ("iterations", "lanes", "memory_kib")]
    assert found == [3, 4, 64 * 1024]


def test_file_is_private_and_holds_no_plain_kek(path: Path) -> None:
    keyring = FileKeyring.create(path, PASSPHRASE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    kek = keyring._keks[keyring.key_id]
    plain = FileKeyring.create(path.with_name("plain"), None)
    positive = keyring_file.load(path.with_name("plain")).keys[0].key
    assert positive == bytes(plain._keks[plain.key_id])
    assert bytes(kek) not in keyring_file.load(path).keys[0].key


def test_wrong_missing_and_unexpected_passphrase(path: Path) -> None:
    FileKeyring.create(path, PASSPHRASE)
    FileKeyring.open(path, PASSPHRASE)
    assert code_of(lambda: FileKeyring.open(path, b"incorrect")) == "keys.wrong_passphrase"
    assert code_of(lambda: FileKeyring.open(path, None)) == "keys.passphrase_missing"
    plain = path.with_name("plain")
    FileKeyring.create(plain, None)
    assert code_of(lambda: FileKeyring.open(plain, PASSPHRASE)) == "keys.passphrase_unexpected"


def test_weak_passphrase_and_overwriting_change_nothing(path: Path) -> None:
    assert code_of(lambda: FileKeyring.create(path, b"short")) == "keys.weak_passphrase"
    assert not path.exists()
    FileKeyring.create(path, None)
    before = path.read_bytes()
    assert code_of(lambda: FileKeyring.create(path, None)) == "keys.file_exists"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "hostile",
    [
        {"memory_kib": 2**30},
        {"memory_kib": 1024},
        {"iterations": 10_000_000},
        {"iterations": 0},
        {"lanes": 1_000_000},
        {"salt": ""},
        {"salt": 5},
        {"more": 1},
    ],
)
def test_hostile_parameters_are_refused_before_they_cost(
    path: Path, hostile: dict[str, object]
) -> None:
    FileKeyring.create(path, PASSPHRASE)
    protection = json.loads(path.read_text())["protection"]
    edit(path, protection={**protection, **hostile})
    assert code_of(lambda: FileKeyring.open(path, PASSPHRASE)) == "keys.keyring_malformed"


def test_malformed_files(path: Path) -> None:
    FileKeyring.create(path, None)
    good = path.read_text()
    entry = json.loads(good)["keys"][0]
    for changes in (
        {"format": "strongroom keyring v2"},
        {"keys": []},
        {"keys": [entry, entry]},
        {"active": "0" * 32},
        {"keys": [{**entry, "key": "AAAA"}]},
        {"surplus": True},
    ):
        edit(path, **changes)
        assert code_of(lambda: FileKeyring.open(path, None)) == "keys.keyring_malformed"
        path.write_text(good)
    for content in (b"", b"{", b"\xff\xfe", b"[]" * 4):
        path.write_bytes(content)
        assert code_of(lambda: FileKeyring.open(path, None)) == "keys.keyring_malformed"


def test_a_swapped_kek_is_noticed(path: Path) -> None:
    FileKeyring.create(path, None)
    FileKeyring.create(path.with_name("other"), None)
    entry = json.loads(path.read_text())["keys"][0]
    foreign = json.loads(path.with_name("other").read_text())["keys"][0]
    edit(path, keys=[{**entry, "key": foreign["key"]}])
    assert code_of(lambda: FileKeyring.open(path, None)) == "keys.keyring_malformed"


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_rotation_keeps_what_was_wrapped(path: Path, passphrase: bytes | None) -> None:
    keyring = FileKeyring.create(path, passphrase)
    key = DataKey.generate()
    old = keyring.wrap(key, CONTEXT)
    fresh = keyring.rotate()
    assert keyring.key_id == fresh != old.key_id
    new = keyring.wrap(key, CONTEXT)
    again = FileKeyring.open(path, passphrase)
    assert again.key_id == fresh
    for stanza in (old, new):
        assert again.holds(stanza)
        assert bytes(again.unwrap(stanza, CONTEXT).reveal(TOKEN)) == bytes(key.reveal(TOKEN))


def test_rotations_at_once_lose_no_kek(path: Path) -> None:
    FileKeyring.create(path, None)
    keyrings = [FileKeyring.open(path, None) for _ in range(8)]
    threads = [threading.Thread(target=keyring.rotate) for keyring in keyrings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = set(FileKeyring.open(path, None).key_ids)
    assert len(final) == 9
    assert {keyring.key_id for keyring in keyrings} <= final


def test_rotation_refuses_a_keyring_put_in_its_place(path: Path) -> None:
    keyring = FileKeyring.create(path, None)
    path.unlink()
    FileKeyring.create(path, None)
    before = path.read_bytes()
    assert code_of(keyring.rotate) == "keys.keyring_changed"
    assert path.read_bytes() == before


def test_closing_overwrites(path: Path) -> None:
    keyring = FileKeyring.create(path, PASSPHRASE)
    stanza = keyring.wrap(DataKey.generate(), CONTEXT)
    kek, master = keyring._keks[keyring.key_id], keyring._master
    assert any(kek)
    assert master is not None
    assert any(master)
    keyring.close()
    assert not any(kek)
    assert not any(master)
    assert code_of(lambda: keyring.unwrap(stanza, CONTEXT)) == "keys.closed"
    assert code_of(lambda: keyring.wrap(DataKey.generate(), CONTEXT)) == "keys.closed"
    assert code_of(keyring.rotate) == "keys.closed"


def test_representations_show_no_secret(path: Path) -> None:
    keyring = FileKeyring.create(path, None)
    entry = keyring_file.load(path).keys[0]
    shown = repr(keyring) + repr(entry) + repr(keyring_file.load(path))
    assert repr(entry.key)[2:10] not in shown
    assert keyring._keks[keyring.key_id].hex() not in shown
    assert os.fspath(path) in shown
