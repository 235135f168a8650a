"""Random edits of a sealed model, reproducible from a seed.

An edit changes at least one byte of the folder, adds a file or takes one away. It never touches
``recipients.json``: that file holds no integrity (its stanzas are checked by the key commitment
after unwrapping), so an edit there does not make the model another one.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from pathlib import Path

Files = dict[str, bytes]
UNSIGNED = "recipients.json"
SPLICE_BYTES = 4096


class Folder:
    """A sealed model's folder whose contents can be replaced and put back quickly."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.original: Files = {f.name: f.read_bytes() for f in path.iterdir()}

    def write(self, files: Files) -> None:
        """Make the folder hold ``files``, touching only what differs from the original."""
        for name in self.original.keys() - files.keys():
            (self.path / name).unlink()
        for name, content in files.items():
            if self.original.get(name) != content:
                (self.path / name).write_bytes(content)

    def restore(self, files: Files) -> None:
        """Undo ``write(files)``."""
        for name in files.keys() - self.original.keys():
            (self.path / name).unlink()
        for name, content in self.original.items():
            if files.get(name) != content:
                (self.path / name).write_bytes(content)


def flip_bit(raw: bytearray, rng: random.Random, other: bytes) -> None:
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def set_byte(raw: bytearray, rng: random.Random, other: bytes) -> None:
    raw[rng.randrange(len(raw))] = rng.choice(b'\x00\xff"{}[],:0159-\\')


def overwrite(raw: bytearray, rng: random.Random, other: bytes) -> None:
    at, size = rng.randrange(len(raw)), rng.choice((2, 4, 8, 32, 500))
    size = min(size, len(raw) - at)
    raw[at : at + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def truncate(raw: bytearray, rng: random.Random, other: bytes) -> None:
    del raw[rng.randrange(len(raw)) :]


def append(raw: bytearray, rng: random.Random, other: bytes) -> None:
    raw += rng.choice((b"\0", b"\n", b" ", other[: rng.randrange(1, 5000)], rng.randbytes(9)))


def delete_range(raw: bytearray, rng: random.Random, other: bytes) -> None:
    at = rng.randrange(len(raw))
    del raw[at : at + rng.choice((1, 2, 16, 32, SPLICE_BYTES))]


def insert(raw: bytearray, rng: random.Random, other: bytes) -> None:
    at = rng.randrange(len(raw))
    raw[at:at] = rng.choice((b" ", b"\0", b',"a":1', b"9" * 400, b"[" * 900, rng.randbytes(32)))


def repeat_range(raw: bytearray, rng: random.Random, other: bytes) -> None:
    at, size = rng.randrange(len(raw)), rng.choice((1, 32, 74, SPLICE_BYTES))
    raw[at:at] = raw[at : at + size]


def swap_blocks(raw: bytearray, rng: random.Random, other: bytes) -> None:
    size = rng.choice((1, 32, SPLICE_BYTES))
    start = rng.choice((0, 74))
    blocks = max(1, (len(raw) - start) // size)
    a, b = (start + rng.randrange(blocks) * size for _ in range(2))
    first, second = bytes(raw[a : a + size]), bytes(raw[b : b + size])
    if len(first) == len(second):
        raw[a : a + size], raw[b : b + size] = second, first


def splice(raw: bytearray, rng: random.Random, other: bytes) -> None:
    size = rng.choice((32, 74, SPLICE_BYTES))
    at = 74 + rng.randrange(8) * SPLICE_BYTES if rng.random() < 0.5 else rng.randrange(len(raw))
    piece = other[at : at + size]
    raw[at : at + len(piece)] = piece


IN_A_FILE: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    flip_bit,
    flip_bit,
    set_byte,
    overwrite,
    truncate,
    append,
    delete_range,
    insert,
    repeat_range,
    swap_blocks,
    splice,
)


def random_edit(files: Files, other: Files, rng: random.Random) -> Files:
    """An edited copy that differs from ``files`` in something that is signed for."""
    while True:
        edited = dict(files)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            _edit_once(edited, other, rng)
        if {**edited, UNSIGNED: b""} != {**files, UNSIGNED: b""} or UNSIGNED not in edited:
            return edited


def _edit_once(files: Files, other: Files, rng: random.Random) -> None:
    names = sorted(files.keys() - {UNSIGNED})
    name = rng.choice(names) if names else UNSIGNED
    kind = rng.random()
    if kind < 0.9 and files.get(name):
        raw = bytearray(files[name])
        foreign = other.get(name, b"") if rng.random() < 0.5 else files[rng.choice(names)]
        rng.choice(IN_A_FILE)(raw, rng, foreign)
        files[name] = bytes(raw)
    elif kind < 0.94:
        second = rng.choice(sorted(files.keys() - {UNSIGNED}) or [UNSIGNED])
        files[name], files[second] = files.get(second, b""), files.get(name, b"")
    elif kind < 0.96:
        files.pop(name, None)
    elif kind < 0.98:
        suffix = rng.choice((".json", ".floe", ".safetensors", ".bin", ""))
        files[f"{rng.randrange(1000)}{suffix}"] = files.get(name, b"")
    else:
        files[name] = other.get(name, b"")


def fresh_seed() -> int:
    """A seed to print, so that a failure can be run again."""
    return secrets.randbelow(2**32)
