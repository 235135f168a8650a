"""Small models to seal, and sealing them with a key that the tests hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from strongroom.artifact import canonical
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.floe import OVERHEAD, Floe
from strongroom.artifact.key_schedule import part_aad
from strongroom.artifact.manifest import Manifest
from strongroom.artifact.opening import OpenedModel, open_sealed
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.seal import seal
from strongroom.artifact.secret_access import TOKEN
from strongroom.artifact.signing import SigningKey
from strongroom.artifact.trust import ReleaseState, Trust

SIGNER = SigningKey.from_seeds(bytes(range(64)))
STRANGER = SigningKey.from_seeds(bytes(reversed(range(64))))
TRUST = Trust([SIGNER.public])

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def safetensors_bytes(tensors: Tensors, metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file written by hand, so that no library decides what is possible."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    body = b"".join(raw for _, _, raw in tensors.values())
    return len(text).to_bytes(8, "little") + text + body


def some_tensors(count: int = 4, elements: int = 1500, seed: int = 0) -> Tensors:
    """Float tensors of random values; odd sizes, so that alignment matters."""
    rng = np.random.default_rng(seed)
    made: Tensors = {}
    for i in range(count):
        values = rng.standard_normal(elements + i, dtype=np.float32)
        made[f"layer.{i}.weight"] = ("F32", (elements + i,), values.tobytes())
    return made


def write_model(folder: Path, tensors: Tensors | None = None) -> Path:
    """A one-shard model with a configuration and a tokenizer."""
    folder.mkdir(parents=True)
    content = safetensors_bytes(some_tensors() if tensors is None else tensors, {"format": "pt"})
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text('{"model_type": "small"}')
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    return folder


def write_sharded(folder: Path, shards: list[Tensors]) -> Path:
    """A model of several shards with its index."""
    folder.mkdir(parents=True)
    weight_map: dict[str, str] = {}
    for i, tensors in enumerate(shards, 1):
        name = f"model-{i:05}-of-{len(shards):05}.safetensors"
        (folder / name).write_bytes(safetensors_bytes(tensors))
        weight_map |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    return folder


@dataclass(frozen=True)
class Sealed:
    """A sealed model, the data key that its owner would never have, and its manifest."""

    folder: Path
    key: DataKey
    manifest: Manifest

    def open(self, *, strict: bool = True, state: ReleaseState | None = None) -> OpenedModel:
        return open_sealed(self.folder, self.key, trust=TRUST, state=state, strict=strict)


def seal_model(
    source: Path,
    destination: Path,
    *,
    signer: SigningKey = SIGNER,
    model_id: str = "owner/small",
    release: int = 1,
    policy: DisclosurePolicy | None = None,
    previous: str | None = None,
    not_after: datetime | None = None,
) -> Sealed:
    """Seal for a recipient that hands the key out."""
    keys: list[DataKey] = []

    def wrap(key: DataKey, context: bytes) -> Recipient:
        keys.append(DataKey(bytes(key.reveal(TOKEN))))
        return Recipient("test", "reader", "AAAA", {"context": context[-8:].hex()})

    manifest = seal(
        source,
        destination,
        signer=signer,
        wrap=[wrap],
        model_id=model_id,
        release=release,
        policy=policy or DisclosurePolicy(),
        previous=previous,
        not_after=not_after,
    )
    return Sealed(destination, keys[0], manifest)


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Flip bits of one byte in place; a negative offset counts from the end."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ mask]))


def edit_manifest(
    sealed: Sealed, edit: Callable[[dict[str, Any]], None], signer: SigningKey | None = SIGNER
) -> None:
    """Change the manifest; sign it again unless ``signer`` is None."""
    path = sealed.folder / "manifest.json"
    document = json.loads(path.read_bytes())
    edit(document)
    raw = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    write_manifest(sealed, raw, signer)


def write_manifest(sealed: Sealed, raw: bytes, signer: SigningKey | None = SIGNER) -> None:
    """Put bytes in the manifest's place, signed as they are."""
    (sealed.folder / "manifest.json").write_bytes(raw)
    if signer is not None:
        signatures = canonical.encode(signer.sign(raw))
        (sealed.folder / "signatures.json").write_bytes(signatures)


def segments_of(sealed: Sealed, part: int) -> tuple[bytes, list[bytes]]:
    """FLOE header and segments of a part."""
    entry = sealed.manifest.parts[part]
    raw = (sealed.folder / entry.name).read_bytes()
    size = sealed.manifest.parameters.segment_bytes
    return raw[:74], [raw[i : i + size] for i in range(74, len(raw), size)]


def forge(sealed: Sealed, part: int, edit: Callable[[bytearray], None]) -> None:
    """What a customer with the data key can do: encrypt other plaintext in a part's place."""
    entry, parameters = sealed.manifest.parts[part], sealed.manifest.parameters
    aad = part_aad(sealed.manifest.seal_id, entry.role, entry.shard, entry.shards)
    header, segments = segments_of(sealed, part)
    floe = Floe.start_decryption(parameters, sealed.key.reveal(TOKEN), aad, header)
    plain = bytearray()
    for number, segment in enumerate(segments):
        piece = bytearray(len(segment) - OVERHEAD)
        final = number == len(segments) - 1
        floe.decrypt_segment(number, final, memoryview(segment), memoryview(piece))
        plain += piece
    edit(plain)
    size = parameters.plaintext_bytes
    out = bytearray(header)
    for number in range(len(segments)):
        piece = plain[number * size : (number + 1) * size]
        sealed_piece = bytearray(len(piece) + OVERHEAD)
        final = number == len(segments) - 1
        floe.encrypt_segment(number, final, piece, memoryview(sealed_piece))
        out += sealed_piece
    (sealed.folder / entry.name).write_bytes(out)


def resign_bodies(sealed: Sealed) -> None:
    """What only the owner can do: hash the parts as they are now, and sign again."""
    hashes = b"".join(
        blake3(segment).digest()
        for part in range(len(sealed.manifest.parts))
        for segment in segments_of(sealed, part)[1]
    )
    (sealed.folder / "segments.b3").write_bytes(hashes)
    edit_manifest(sealed, lambda m: m["hash_list"].update(root=blake3(hashes).hexdigest()))
