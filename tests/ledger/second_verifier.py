"""A second verifier of tlog-tiles folders, written from the specifications alone.

It shares no code with ``strongroom.ledger``: what one of the two gets wrong about the form, the
other does not repeat. It recomputes every hash from the entries and checks every tile.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def check(folder: Path, vkey: str) -> list[bytes]:
    """The entries of the log in ``folder``; an exception if anything does not fit."""
    name, key_hash, encoded = vkey.split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1
    identity = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    assert identity.hex() == key_hash
    text, _, signatures = (folder / "checkpoint").read_text("utf-8").rpartition("\n\n")
    _, signer, signature = signatures.strip("\n").split(" ")
    assert signer == name
    raw = base64.b64decode(signature)
    assert raw[:4] == identity
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], (text + "\n").encode())
    origin, size_text, root = text.split("\n")
    assert origin == name
    entries = read_entries(folder, int(size_text))
    assert tree_hash(folder, entries) == base64.b64decode(root)
    return entries


def read_entries(folder: Path, size: int) -> list[bytes]:
    entries: list[bytes] = []
    while len(entries) < size:
        width = min(256, size - len(entries))
        content = (folder / "tile" / "entries" / numbered(len(entries) // 256, width)).read_bytes()
        at = 0
        for _ in range(width):
            (length,) = struct.unpack_from(">H", content, at)
            entries.append(content[at + 2 : at + 2 + length])
            assert len(entries[-1]) == length
            at += 2 + length
        assert at == len(content)
    return entries


def tree_hash(folder: Path, entries: list[bytes]) -> bytes:
    """Root over the entries; each tile of each level is compared on the way."""
    hashes = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    level, row, tile_level = 0, hashes, 0
    peaks: list[bytes] = []
    while row:
        if level % 8 == 0:
            for first in range(0, len(row), 256):
                tile = row[first : first + 256]
                path = folder / "tile" / str(tile_level) / numbered(first // 256, len(tile))
                assert path.read_bytes() == b"".join(tile), path
            tile_level += 1
        if len(row) % 2:
            peaks.append(row[-1])
        row = [
            hashlib.sha256(b"\1" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)
        ]
        level += 1
    if not peaks:
        return hashlib.sha256(b"").digest()
    found = peaks[0]
    for peak in peaks[1:]:
        found = hashlib.sha256(b"\1" + peak + found).digest()
    return found


def numbered(number: int, width: int) -> str:
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return name if width == 256 else f"{name}.p/{width}"
