"""The names that files of a sealed model have; there are no others."""

from __future__ import annotations

import re

MANIFEST = "manifest.json"
SIGNATURES = "signatures.json"
RECIPIENTS = "recipients.json"
HASH_LIST = "segments.b3"
DOCUMENTS = frozenset({MANIFEST, SIGNATURES, RECIPIENTS, HASH_LIST})

UNFINISHED = ".unfinished-seal-"
"""Marks the sibling folder in which a sealing is under way, and files not yet renamed."""

PLAIN_WEIGHTS = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".gguf", ".onnx", ".h5"}
)
"""Suffixes of files that carry weights in the clear."""

_TEMPORARY = re.compile(r"\A\..+\.unfinished-seal-[0-9a-f]{16}\Z")


def part_name(role: str, shard: int, shards: int) -> str:
    """``index.floe``, ``files.floe``, ``weights-00001-of-0000N.floe``."""
    return f"{role}-{shard:05}-of-{shards:05}.floe" if role == "weights" else f"{role}.floe"


def is_unfinished(name: str) -> bool:
    """Whether a folder of this name is what an interrupted sealing left."""
    return _TEMPORARY.match(name) is not None
