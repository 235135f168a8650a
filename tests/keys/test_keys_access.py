"""The capability stays where it can be found, and copies of a key do not stay behind."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.keys import wiping

IMPORT_ROOM = """
import sys, {room}
from strongroom.artifact.secret_access import SecretAccess, TOKEN
exposed = [name for name, value in vars({room}).items() if isinstance(value, SecretAccess)]
print(exposed)
"""

LEFT_BEHIND = """
import os, sys
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys.hpke import HpkeIdentity
from strongroom.keys.keyring import FileKeyring

def copies(pattern):
    # The needle itself is XORed, so that looking for it does not put it here.
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in list(maps):
            area, rights = line.split()[:2]
            if "rw" not in rights:
                continue
            start, end = (int(part, 16) for part in area.split("-"))
            memory.seek(start)
            block = bytearray(end - start)
            try:
                memory.readinto(block)
            except OSError:
                continue
            position = block.find(bytes([pattern[0] ^ 0x55]))
            while position >= 0:
                candidate = block[position : position + 32]
                if bytes(b ^ 0x55 for b in candidate) == pattern:
                    found += 1
                position = block.find(bytes([pattern[0] ^ 0x55]), position + 1)
            block[:] = bytes(len(block))
    return found

wrapper = {wrapper}
key = DataKey.generate()
pattern = bytes(b ^ 0x55 for b in key.reveal(TOKEN))
stanza = wrapper.wrap(key, b"c")
key.wipe()
before = copies(pattern)
again = wrapper.unwrap(stanza, b"c")
during = copies(pattern)
again.wipe()
print(before, during, copies(pattern))
"""


@pytest.mark.parametrize("room", ["strongroom.keys", "strongroom.artifact", "strongroom.release"])
def test_importing_a_room_exposes_no_token(room: str) -> None:
    importlib.import_module(room)
    printed = _run(IMPORT_ROOM.format(room=room))
    assert printed == "[]"
    # Positive control: the module that may expose it is found by the same look.
    assert _run(IMPORT_ROOM.format(room="strongroom.artifact.secret_access")) == "['TOKEN']"


@pytest.mark.parametrize(
    "wrapper", ["HpkeIdentity.generate()", "FileKeyring.create('{folder}/keyring', None)"]
)
def test_no_copy_of_a_key_outlives_it(wrapper: str, tmp_path: Path) -> None:
    source = LEFT_BEHIND.replace("{wrapper}", wrapper.replace("{folder}", str(tmp_path)))
    before, during, after = map(int, _run(source).split())
    assert (before, after) == (0, 0)
    assert during >= 1


def test_wiping_in_place() -> None:
    secret = os.urandom(32)
    alias = secret
    wiping.wipe_bytes(secret)
    assert alias == bytes(32)
    assert len(alias) == 32
    buffer = bytearray(b"secret")
    wiping.wipe(buffer)
    assert buffer == bytes(6)
    wiping.wipe(bytearray())
    one = bytes([0x41])
    wiping.wipe_bytes(one)
    assert one == b"A"


def _run(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
