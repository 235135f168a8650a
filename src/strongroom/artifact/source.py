"""What is to be sealed: a folder as Hugging Face lays it out, read with suspicion.

Weights: ``model.safetensors.index.json`` with its shards, or ``model.safetensors``, or
``adapter_model.safetensors``; exactly one of these sets. Beside them only plain data files may
lie (``PLAIN_SUFFIXES``, ``PLAIN_NAMES``), each bounded; they are sealed too. Pickles, code and
anything unknown are refused, so that opening a sealed model can never run something. Hidden
entries (``.git``, ``.cache``) are passed over. Links are followed here: the folder is the owner's
own, and download caches are made of links.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from strongroom.artifact import names
from strongroom.artifact.folder import read_into
from strongroom.artifact.reasons import refuse, shown
from strongroom.artifact.safetensors_header import SourceTensor, read_header

SINGLE = "model.safetensors"
SHARDED = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"

PLAIN_SUFFIXES = frozenset({".json", ".jinja", ".txt", ".model", ".tiktoken", ".md"})
PLAIN_NAMES = frozenset({"LICENSE", "NOTICE", "USE_POLICY"})
CODE_SUFFIXES = (names.PLAIN_WEIGHTS - {".safetensors", ".gguf", ".onnx", ".h5"}) | {
    ".py", ".pyc", ".so", ".dll", ".sh", ".exe", ".joblib", ".npy", ".npz", ".msgpack", ".zip",
}  # fmt: skip
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_FILES_BYTES = 256 * 1024 * 1024
MAX_FILES = 256
_PICKLE = b"\x80"
_NAME = r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z"


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file, open, with its tensors in the order of their data."""

    name: str
    fd: int
    tensors: tuple[SourceTensor, ...]
    status: tuple[int, int]

    def require_unchanged(self) -> None:
        """``artifact.changed_while_reading`` if size or time of change moved since opening."""
        if status_of(self.fd) != self.status:
            raise refuse("artifact.changed_while_reading", name=shown(self.name))


@dataclass(frozen=True, slots=True)
class Source:
    """A model's shards and its plain files by name, sorted."""

    shards: tuple[Shard, ...]
    files: dict[str, bytes]


class _ShardIndex(msgspec.Struct, frozen=True):
    weight_map: Annotated[dict[str, Annotated[str, Meta(pattern=_NAME)]], Meta(min_length=1)]
    metadata: dict[str, Any] = {}


def open_source(folder: Path, stack: ExitStack) -> Source:
    """Read the folder; shards stay open until ``stack`` closes."""
    if not folder.is_dir():
        raise refuse("artifact.no_model", where=shown(folder))
    entries = sorted(e.name for e in os.scandir(folder) if not e.name.startswith("."))
    present = [name for name in (SHARDED, SINGLE, ADAPTER) if name in entries]
    if not present:
        raise refuse("artifact.no_model", where=shown(folder))
    if len(present) > 1:
        raise refuse("artifact.ambiguous_model", where=shown(folder), names=", ".join(present))
    weight_map = _weight_map(folder) if present == [SHARDED] else None
    shard_names = sorted(set(weight_map.values())) if weight_map else present
    plain = [name for name in entries if name not in {*shard_names, SHARDED}]
    files = _plain_files(folder, plain)
    shards = tuple(_open_shard(folder, name, stack) for name in shard_names)
    _require_distinct(shards, weight_map)
    return Source(shards, files)


def _weight_map(folder: Path) -> dict[str, str]:
    raw = _read_plain(folder, SHARDED)
    try:
        return msgspec.json.decode(raw, type=_ShardIndex).weight_map
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _bad_index("it is not an index of shards") from None


def _open_shard(folder: Path, name: str, stack: ExitStack) -> Shard:
    if not name.endswith(".safetensors"):
        raise _bad_index(f"{shown(name)} is not a safetensors file")
    fd = _open(folder, name)
    stack.callback(os.close, fd)
    return Shard(name, fd, read_header(fd, name), status_of(fd))


def _require_distinct(shards: tuple[Shard, ...], weight_map: dict[str, str] | None) -> None:
    found: dict[str, str] = {}
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in found:
                raise _bad_index(f"tensor {shown(tensor.name)} stands in two shards")
            found[tensor.name] = shard.name
    if weight_map is not None and weight_map != found:
        raise _bad_index("it names other tensors than the shards hold")


def _plain_files(folder: Path, entries: list[str]) -> dict[str, bytes]:
    for name in entries:
        _require_plain(folder, name)
    if len(entries) > MAX_FILES:
        raise refuse("artifact.too_large", name="the list of files", limit=MAX_FILES)
    files: dict[str, bytes] = {}
    total = 0
    for name in entries:
        files[name] = _read_plain(folder, name)
        total += len(files[name])
        if total > MAX_FILES_BYTES:
            raise refuse("artifact.too_large", name="all files together", limit=MAX_FILES_BYTES)
        _require_harmless(name, files[name])
    return files


def _require_plain(folder: Path, name: str) -> None:
    suffix = Path(name).suffix.lower()
    if suffix in CODE_SUFFIXES:
        raise refuse("artifact.code_in_model", name=shown(name))
    plain = suffix in PLAIN_SUFFIXES or Path(name).stem in PLAIN_NAMES
    if not plain or not (folder / name).is_file() or not _well_named(name):
        raise refuse("artifact.file_not_allowed", name=shown(name))


def _well_named(name: str) -> bool:
    letters = name.replace(".", "").replace("-", "").replace("_", "")
    return name.isascii() and len(name) <= 128 and letters.isalnum() and name[0] not in ".-"


def _require_harmless(name: str, content: bytes) -> None:
    """Text is UTF-8 without NUL; a vocabulary model is not a pickle under another name."""
    if Path(name).suffix.lower() == ".model":
        if content.startswith((_PICKLE, b"PK\x03\x04")):
            raise refuse("artifact.code_in_model", name=shown(name))
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse("artifact.file_not_allowed", name=shown(name)) from None
    if "\0" in text:
        raise refuse("artifact.file_not_allowed", name=shown(name))


def _read_plain(folder: Path, name: str) -> bytes:
    fd = _open(folder, name)
    try:
        size = os.fstat(fd).st_size
        if size > MAX_FILE_BYTES:
            raise refuse("artifact.too_large", name=shown(name), limit=MAX_FILE_BYTES)
        raw = bytearray(size)
        if read_into(fd, memoryview(raw), 0, name) != size:
            raise refuse("artifact.changed_while_reading", name=shown(name))
        return bytes(raw)
    finally:
        os.close(fd)


def _open(folder: Path, name: str) -> int:
    try:
        fd = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise refuse("artifact.missing_file", name=shown(name)) from None
    except OSError as problem:
        text = problem.strerror or "unknown error"
        raise refuse("artifact.unreadable", name=shown(name), problem=text) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise refuse("artifact.not_regular_file", name=shown(name))
    return fd


def status_of(fd: int) -> tuple[int, int]:
    """Size and time of change of an open file."""
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns


def _bad_index(problem: str) -> Exception:
    return refuse("artifact.source_index_malformed", name=SHARDED, problem=problem)
