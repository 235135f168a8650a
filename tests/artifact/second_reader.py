"""A second reader of sealed models, written from ``spec/sealed-model-v1.md`` alone.

It shares no code with strongroom: primitives come from cryptography and blake3, canonical JSON from
rfc8785, and FLOE is written out again. It is slow and single-threaded on purpose. Rule numbers
are those of the specification.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import struct
from typing import Any

import rfc8785
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DOCUMENTS = {"manifest.json", "signatures.json", "recipients.json", "segments.b3"}
SEGMENT = {
    "FLOE-GCM256-1M_BLAKE3_Ed25519+ML-DSA-65": 1 << 20,
    "FLOE-GCM256-4K_BLAKE3_Ed25519+ML-DSA-65": 1 << 12,
}
BITS = {
    **dict.fromkeys(
        ["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8
    ),
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["I64", "U64", "F64", "C64"], 64),
}
WEIGHT_FILE = re.compile(r"\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|gguf|onnx|h5)\Z", re.I)
MEMBERS = {
    "format": str, "version": int, "suite": str, "seal_id": r"[0-9a-f]{32}",
    "model_id": r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", "release": int,
    "created": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "not_after": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "reader_minimum": int, "previous": r"[0-9a-f]{64}", "key_commitment": r"[0-9a-f]{64}",
    "policy_digest": r"[0-9a-f]{64}", "hash_list": dict, "parts": list,
}  # fmt: skip
PART = {"header", "length", "name", "role", "segments", "shard", "shards"}


class Refused(Exception):
    """Carries the code of section 11, without its ``artifact.``."""


def need(condition: object, code: str) -> None:
    if not condition:
        raise Refused(code)


def read(files: dict[str, bytes], vector: dict[str, Any], with_key: bool) -> dict[str, Any] | None:
    """What the vector's folder holds, or ``Refused``; None without a key."""
    need(not any(WEIGHT_FILE.search(name) for name in files), "plain_weights_beside")  # 2.2
    for name, limit in (("manifest.json", 1 << 24), ("signatures.json", 1 << 14)):
        need(name in files, "missing_file")
        need(len(files[name]) <= limit, "too_large")  # 2.4
    raw = files["manifest.json"]
    check_signatures(raw, files["signatures.json"], vector["signer"])
    manifest = check_manifest(raw)
    end = manifest["not_after"]
    need(end is None or vector["now"] <= end, "expired")  # same form, so strings compare
    check_record(manifest, hashlib.sha256(raw).hexdigest(), vector["record"])
    expected = DOCUMENTS | {part["name"] for part in manifest["parts"]}
    need(files.keys() <= expected, "unexpected_file")  # 2.2
    need(files.keys() >= expected, "missing_file")
    for part in manifest["parts"]:
        check_length(files[part["name"]], part["length"])  # 5.4
        need(files[part["name"]][:74].hex() == part["header"], "part_replaced")
    check_length(files["segments.b3"], 32 * manifest["hash_list"]["segments"])
    root = blake3(files["segments.b3"]).hexdigest()
    need(root == manifest["hash_list"]["root"], "hash_list_altered")  # 6.1
    if not with_key:
        for part in manifest["parts"]:
            check_hashes(files, manifest, part)
        return None
    return open_parts(files, manifest, bytes.fromhex(vector["key"]), vector["strict"])


def check_length(content: bytes, expected: int) -> None:
    need(len(content) >= expected, "truncated")
    need(len(content) <= expected, "trailing_bytes")


def parse(raw: bytes) -> Any:
    try:
        document = json.loads(raw)
    except ValueError:
        raise Refused("malformed") from None
    return document


def check_canonical(raw: bytes, document: Any) -> None:
    need(rfc8785.dumps(document) == raw, "not_canonical")  # 3.1


def check_signatures(raw: bytes, raw_signatures: bytes, signer: str) -> None:
    document = parse(raw_signatures)
    check_canonical(raw_signatures, document)
    keys = base64.b64decode(signer)
    fingerprint = hashlib.sha256(keys).hexdigest()[:32]  # 4.2
    need(document["signer"] == fingerprint, "signer_unknown")
    need("ed25519" in document and "ml_dsa_65" in document, "signature_missing")  # 4.1
    label = b"strongroom sealed-model v1 manifest"
    message = label + b"\0" + raw  # 4.3
    try:
        first, second = (base64.b64decode(document[s]) for s in ("ed25519", "ml_dsa_65"))
        Ed25519PublicKey.from_public_bytes(keys[:32]).verify(first, message)
        MLDSA65PublicKey.from_public_bytes(keys[32:]).verify(second, message, label)
    except InvalidSignature:
        raise Refused("signature_invalid") from None


def check_manifest(raw: bytes) -> dict[str, Any]:
    m = parse(raw)
    need(m["format"] == "strongroom sealed model" and m["version"] == 1, "unsupported_format")
    need(m["suite"] in SEGMENT, "unsupported_format")
    need(m["reader_minimum"] <= 1, "reader_too_old")
    need(m.keys() == MEMBERS.keys(), "malformed")
    for name, kind in MEMBERS.items():
        if m[name] is None and name in ("previous", "not_after"):
            continue
        good = re.fullmatch(kind, m[name]) if isinstance(kind, str) else type(m[name]) is kind
        need(good, "malformed")
    need(all(part.keys() == PART for part in m["parts"]), "malformed")
    check_canonical(raw, m)
    month_lengths = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    month, day = int(m["created"][5:7]), int(m["created"][8:10])
    need(1 <= month <= 12 and 1 <= day <= month_lengths[month - 1], "manifest_inconsistent")
    count = len(m["parts"]) - 2
    places = [("index", 1, 1), ("files", 1, 1), *(("weights", i + 1, count) for i in range(count))]
    for part, (role, shard, shards) in zip(m["parts"], places, strict=True):  # 3.4
        name = f"weights-{shard:05}-of-{shards:05}.floe" if role == "weights" else f"{role}.floe"
        found = (part["name"], part["role"], part["shard"], part["shards"])
        need(found == (name, role, shard, shards), "manifest_inconsistent")
        plain = part["length"] - 74 - 32 * part["segments"]
        segments = max(1, math.ceil(plain / (SEGMENT[m["suite"]] - 32)))
        need(plain >= 0 and segments == part["segments"], "manifest_inconsistent")  # 3.5
    total = sum(part["segments"] for part in m["parts"])
    need(total == m["hash_list"]["segments"], "manifest_inconsistent")
    return m


def check_record(manifest: dict[str, Any], digest: str, seen: dict[str, Any] | None) -> None:
    if seen is None:
        return
    need(manifest["release"] >= seen["release"], "rollback")  # 9.1
    if manifest["release"] == seen["release"]:
        need(digest == seen["digest"], "fork")
    if manifest["release"] == seen["release"] + 1:
        need(manifest["previous"] in (None, seen["digest"]), "fork")


def pieces(files: dict[str, bytes], manifest: dict[str, Any], part: dict[str, Any]) -> list[bytes]:
    body, size = files[part["name"]][74:], SEGMENT[manifest["suite"]]
    return [body[i * size : (i + 1) * size] for i in range(part["segments"])]


def check_hashes(files: dict[str, bytes], manifest: dict[str, Any], part: dict[str, Any]) -> None:
    raw = files["segments.b3"]
    known = [raw[i : i + 32] for i in range(0, len(raw), 32)]
    before = manifest["parts"][: manifest["parts"].index(part)]
    first = sum(other["segments"] for other in before)
    for i, piece in enumerate(pieces(files, manifest, part)):
        digest = blake3(piece).digest()
        if digest != known[first + i]:
            raise Refused("segment_moved" if digest in known else "segment_altered")  # 6.3


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand-SHA-384 for at most 48 bytes."""
    return hmac.digest(key, info + b"\1", "sha384")[:length]


def decrypt(
    files: dict[str, bytes], manifest: dict[str, Any], part: dict[str, Any], key: bytes
) -> bytes:
    """FLOE, as in its own specification, with 5.2 as associated data."""
    role, header = part["role"].encode(), files[part["name"]][:74]
    aad = b"strongroom sealed-model v1 part\0" + bytes.fromhex(manifest["seal_id"])
    aad += bytes([len(role)]) + role + struct.pack(">II", part["shard"], part["shards"])
    parameters = struct.pack(">BBII", 0, 0, SEGMENT[manifest["suite"]], 32)
    need(header[:10] == parameters, "part_replaced")
    prefix = header[:42]
    need(expand(key, prefix + b"HEADER_TAG:" + aad, 32) == header[42:], "part_replaced")
    message_key = expand(key, prefix + b"MESSAGE_KEY:" + aad, 48)
    out = b""
    for i, piece in enumerate(pieces(files, manifest, part)):
        last = i == part["segments"] - 1
        epoch = struct.pack(">Q", i >> 20 << 20)
        segment_key = expand(message_key, prefix + b"DEK:" + epoch + aad, 32)
        length = struct.pack(">I", len(piece) if last else 0xFFFFFFFF)
        need(piece[:4] == length, "segment_altered")
        try:
            place = struct.pack(">QB", i, last)
            out += AESGCM(segment_key).decrypt(piece[4:16], piece[16:], place)
        except InvalidTag:
            raise Refused("segment_altered") from None
    return out


def padded(size: int) -> int:
    power = 16_384
    while power < size:
        power *= 2
    return power


def open_parts(
    files: dict[str, bytes], manifest: dict[str, Any], key: bytes, strict: bool
) -> dict[str, Any]:
    label = b"strongroom sealed-model v1 key commitment\0" + bytes.fromhex(manifest["seal_id"])
    need(expand(key, label, 32).hex() == manifest["key_commitment"], "wrong_key")  # 5.3
    index_part, files_part, *weights = manifest["parts"]
    check_hashes(files, manifest, index_part)
    index = read_index(decrypt(files, manifest, index_part, key), manifest["policy_digest"])
    sizes = [part["length"] - 74 - 32 * part["segments"] for part in weights]
    check_layout(index["tensors"], sizes)
    check_hashes(files, manifest, files_part)
    joined = decrypt(files, manifest, files_part, key)
    need(len(joined) == padded(sum(f["length"] for f in index["files"])), "index_invalid")
    if strict:
        for part in weights:
            check_hashes(files, manifest, part)  # 6.2
    arena = b"".join(decrypt(files, manifest, part, key) for part in weights)
    tensors, plain, at = {}, {}, 0
    for t in index["tensors"]:
        raw = arena[t["offset"] : t["offset"] + nbytes(t)]
        digest = hashlib.sha256(raw).hexdigest()
        tensors[t["name"]] = {"dtype": t["dtype"], "shape": t["shape"], "sha256": digest}
    for f in index["files"]:
        plain[f["name"]] = hashlib.sha256(joined[at : at + f["length"]]).hexdigest()
        at += f["length"]
    return {"tensors": tensors, "files": plain}


def read_index(plain: bytes, policy_digest: str) -> dict[str, Any]:
    end = 8 + int.from_bytes(plain[:8], "big")
    need(len(plain) == padded(end) and not any(plain[end:]), "index_invalid")  # 7.1
    index: dict[str, Any] = parse(plain[8:end])
    check_canonical(plain[8:end], index)
    digest = hashlib.sha256(rfc8785.dumps(index["policy"])).hexdigest()
    need(digest == policy_digest, "policy_mismatch")  # 7.3
    for listed in (index["tensors"], index["files"]):
        need(len({entry["name"] for entry in listed}) == len(listed), "index_invalid")  # 7.2
    return index


def nbytes(tensor: dict[str, Any]) -> int:
    need(tensor["dtype"] in BITS, "index_invalid")  # 7.5
    bits = math.prod(tensor["shape"]) * BITS[tensor["dtype"]]
    need(bits % 8 == 0, "index_invalid")
    return bits // 8


def check_layout(tensors: list[dict[str, Any]], sizes: list[int]) -> None:
    """7.6, by laying the tensors out anew."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    at = part = 0
    for tensor in tensors:
        start = (at + 63) // 64 * 64
        while start + nbytes(tensor) > ends[part]:
            need(start == ends[part] and part + 1 < len(ends), "index_invalid")
            part += 1
        need(tensor["offset"] == start, "index_invalid")
        at = start + nbytes(tensor)
    need((at + 63) // 64 * 64 == ends[part] == ends[-1], "index_invalid")
