"""The strict parsers: safetensors headers and canonical JSON, each against an oracle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from strongroom.artifact import canonical
from strongroom.artifact.index import padded_size
from strongroom.artifact.reasons import REASONS, refuse, shown
from strongroom.artifact.safetensors_header import read_header
from strongroom.errors import ArtifactRefused

from .models import SIGNER, Sealed, safetensors_bytes, some_tensors

ENTRY = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


def parse(raw: bytes) -> Any:
    fd = os.memfd_create("header")
    try:
        os.write(fd, raw)
        return read_header(fd, "x.safetensors")
    finally:
        os.close(fd)


def framed(header: object, data: bytes = b"abcd") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def with_entry(**changes: object) -> bytes:
    return framed({"a": {**ENTRY, **changes}})


HOSTILE = {
    "empty": b"",
    "short": b"\1\0\0",
    "header longer than the file": (2**40).to_bytes(8, "little") + b"{}",
    "header of 2^64": b"\xff" * 8 + b"{}",
    "not an object": framed([]),
    "white space first": framed(b" {}", b""),
    "not JSON": framed(b"{", b""),
    "not UTF-8": framed(b'{"\xff":1}', b""),
    "deep": framed(b"{" + b'"a":{' * 100_000, b""),
    "entry not an object": framed({"a": 1}),
    "unknown field": with_entry(extra=1),
    "missing field": framed({"a": {"dtype": "U8", "shape": [4]}}),
    "unknown type": with_entry(dtype="U7"),
    "float shape": with_entry(shape=[4.0]),
    "true shape": with_entry(shape=[True, 4]),
    "negative": with_entry(shape=[-4]),
    "size mismatch": with_entry(shape=[5]),
    "backwards": with_entry(data_offsets=[4, 0]),
    "beyond the end": with_entry(shape=[8], data_offsets=[0, 8]),
    "data left over": framed({"a": ENTRY}, b"abcdef"),
    "no tensors but data": framed({}),
    "huge number": framed(
        b'{"a":{"dtype":"U8","shape":[%s],"data_offsets":[0,4]}}' % (b"9" * 9000)
    ),
    "overflow": with_entry(shape=[2**40, 2**40]),
    "gap": framed({"a": ENTRY, "b": {**ENTRY, "data_offsets": [5, 9]}}, b"123456789"),
    "overlap": framed({"a": ENTRY, "b": {**ENTRY, "data_offsets": [2, 6]}}, b"123456"),
    "same place": framed({"a": ENTRY, "b": ENTRY}),
    "name twice": framed(b'{"a":%s,"a":%s}' % ((json.dumps(ENTRY).encode(),) * 2)),
    "field twice": framed(b'{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}'),
    "half a byte": framed({"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 0]}}, b""),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_headers(name: str) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        parse(HOSTILE[name])
    assert caught.value.code == "artifact.source_malformed"


def test_sound_headers() -> None:
    (tensor,) = parse(framed({"__metadata__": {"x": "y"}, "a": ENTRY}))
    assert (tensor.name, tensor.dtype, tensor.shape, tensor.nbytes) == ("a", "U8", (4,), 4)
    assert parse(framed(b"{}      ", b"")) == ()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_we_accept_the_library_accepts_too(data: st.DataObject) -> None:
    """Our parser is never laxer than the library's (it may be stricter)."""
    raw = bytearray(safetensors_bytes(some_tensors(2, 3)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.sampled_from(list(b'0123456789[]{}",:aF')))
    try:
        ours = {t.name: (t.dtype, t.shape) for t in parse(bytes(raw))}
    except ArtifactRefused:
        return
    try:
        theirs = {name: (e["dtype"], tuple(e["shape"])) for name, e in deserialize(bytes(raw))}
    except SafetensorError as error:
        pytest.fail(f"the library refuses what we accept: {error}")
    assert ours == theirs


VALUES = st.recursive(
    st.none() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=6), inner)
    ),
)


@settings(max_examples=120, deadline=None)
@given(VALUES)
def test_canonical_encoding_is_rfc_8785(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    a: int
    b: tuple[str, ...]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=30) | st.sampled_from([b'{"a":1,"b":[]}', b'{"b":[],"a":1}']))
def test_only_canonical_documents_are_decoded(raw: bytes) -> None:
    try:
        document = canonical.decode(raw, _Document, "x")
    except ArtifactRefused:
        return
    assert rfc8785.dumps({"a": document.a, "b": list(document.b)}) == raw


def test_the_real_documents_are_rfc_8785(pristine: Sealed) -> None:
    for name in ("manifest.json", "signatures.json", "recipients.json"):
        raw = (pristine.folder / name).read_bytes()
        assert rfc8785.dumps(json.loads(raw)) == raw


@given(st.integers(0, 2**40))
def test_padding_is_a_power_of_two_that_holds_the_content(size: int) -> None:
    padded = padded_size(size)
    assert padded >= max(size, 16_384)
    assert padded & (padded - 1) == 0
    assert padded == 16_384 or padded // 2 < size


def test_every_reason_is_used_and_complete() -> None:
    source = Path(canonical.__file__).parent
    text = "".join(p.read_text() for p in source.glob("*.py") if p.name != "reasons.py")
    for code, row in REASONS.items():
        assert f'"{code}"' in text, f"{code} is never raised"
        assert row.sentence.endswith(".")
        assert row.action.endswith(".")


def test_foreign_names_cannot_write_control_characters() -> None:
    error = refuse("artifact.unexpected_file", name=shown("a\n\x1b[31m" + "é" * 500))
    assert error.message.isprintable()
    assert len(error.message) < 250


def test_no_refusal_shows_a_secret(pristine: Sealed) -> None:
    assert SIGNER.public.fingerprint in repr(SIGNER)
    assert "present" in repr(pristine.key)
    assert "layer" not in repr(pristine.open())
