"""A bundle has one form, and only that is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest import registry
from strongroom.attest.bundle import MAX_BYTES, MAX_NESTED, MAX_PARTS, Bundle, decode, encode
from strongroom.attest.interface import EvidenceRefused
from strongroom.errors import ConfigurationRefused

SMALL = Bundle(kind="snp", evidence={"report": b"\1\2"}, certificates=(b"\3",))


def code(raw: bytes) -> str:
    with pytest.raises(EvidenceRefused) as refused:
        decode(raw)
    return refused.value.code


def test_a_bundle_comes_back() -> None:
    nested = Bundle(kind="snp", evidence={}, nested=(SMALL, SMALL))
    assert decode(encode(nested)) == nested
    assert decode(encode(SMALL) + b"\n") == SMALL


def test_other_forms_are_refused() -> None:
    raw = encode(SMALL)
    document = json.loads(raw)
    assert code(raw + b"\n\n") == "attest.bundle_form"
    assert code(json.dumps(document).encode()) == "attest.bundle_form"
    for change in ({"extra": 1}, {"version": 2}, {"evidence": {"report": "AQI"}}, {"crls": None}):
        text = json.dumps({**document, **change}, sort_keys=True, separators=(",", ":"))
        assert code(text.encode()) == "attest.bundle_form"
    assert code(raw.replace(b'"kind":', b'"\xebind":')) == "attest.bundle_form"
    twice = raw.replace(b'"kind":', b'"kind":"tdx","kind":')
    assert code(twice) == "attest.bundle_form"


def test_bounds() -> None:
    deep = Bundle(
        kind="snp", evidence={}, nested=(Bundle(kind="snp", evidence={}, nested=(SMALL,)),)
    )
    many = Bundle(kind="snp", evidence={}, nested=(SMALL,) * (MAX_NESTED + 1))
    parts = Bundle(kind="snp", evidence={str(n): b"" for n in range(MAX_PARTS + 1)})
    for bundle in (deep, many, parts):
        assert code(encode(bundle)) == "attest.bundle_bounds"
    assert code(b" " * (MAX_BYTES + 1)) == "attest.bundle_size"
    assert code(b'{"nested":[' * 100_000) == "attest.bundle_form"


@given(st.binary(max_size=300))
def test_anything_else_is_refused(raw: bytes) -> None:
    assert code(raw).startswith("attest.bundle_")


def test_unknown_kinds_and_expectations_are_refused() -> None:
    with pytest.raises(EvidenceRefused) as refused:
        registry.verify_bundle(Bundle(kind="sev", evidence={}), now=0, expectations={})
    assert refused.value.code == "attest.bundle_kind"
    with pytest.raises(ConfigurationRefused):
        registry.verify_bundle(SMALL, now=0, expectations={"snp": {"allow_debug": True}})


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_has_strict_expectations(kind: str) -> None:
    verifier = registry.verifier(kind)
    assert verifier.Expectations.__struct_config__.forbid_unknown_fields
    assert verifier.Expectations.__struct_config__.frozen
    assert verifier.Expectations() is not None
    with pytest.raises(EvidenceRefused):
        registry.verify_bundle(Bundle(kind=kind, evidence={"nothing": b""}), now=0, expectations={})
