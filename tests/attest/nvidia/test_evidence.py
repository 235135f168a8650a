"""Forms of evidence, the nonce that binds GPU to CPU, and bundles."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.nvidia.bundled import verify_bundle
from strongroom.attest.nvidia.evidence import read_devices, read_hex
from strongroom.attest.nvidia.expectations import Expectations
from strongroom.attest.nvidia.nonce import gpu_nonce

from .world import FIXTURES, gpu, judge

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = st.text(st.characters(codec="ascii"), max_size=8)
JWK = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "BB"}


@given(st.dictionaries(NAME, TEXT, max_size=5), TEXT)
def test_the_gpu_nonce_is_over_canonical_json(key: dict[str, str], nonce: str) -> None:
    canonical = rfc8785.dumps({"tee-pubkey": key, "nonce": nonce})
    assert gpu_nonce(key, nonce) == hashlib.sha384(canonical).digest()[:32]


def test_the_gpu_nonce_changes_with_key_and_challenge() -> None:
    nonces = {
        gpu_nonce(JWK, "a"),
        gpu_nonce(JWK, "b"),
        gpu_nonce({**JWK, "x": "AB"}, "a"),
        gpu_nonce("a string", "a"),
    }
    assert len(nonces) == 4
    assert {len(nonce) for nonce in nonces} == {32}


@pytest.mark.parametrize(
    ("key", "nonce"), [({"x": 1}, "n"), ({"é": "x"}, "n"), ({"x": "\ud800"}, "n"), ("k", b"n")]
)
def test_anything_but_strings_is_refused(key: object, nonce: object) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        gpu_nonce(key, nonce)
    assert refused.value.code == "attest.nvidia_evidence"


def test_a_gpu_that_answers_the_bound_nonce_is_accepted_and_another_is_not() -> None:
    bound = gpu_nonce(JWK, "challenge")
    assert judge(gpu(nonce=bound), nonce=bound.hex()).report_data == bound
    swapped = gpu_nonce({**JWK, "x": "attacker"}, "challenge")
    with pytest.raises(EvidenceRefused) as refused:
        judge(gpu(nonce=swapped), nonce=bound.hex())
    assert refused.value.code == "attest.nvidia_nonce"


ITEM = {"arch": "HOPPER", "evidence": "AAAA", "certificate": "AAAA", "nonce": "00"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"arch": 1}]',
        b"[" * 100_000,
        json.dumps([{**ITEM, "evidence": "A"}]).encode(),
        json.dumps([{**ITEM, "evidence": "AA\n=="}]).encode(),
        json.dumps([{**ITEM, "evidence": b64encode(bytes(20_000)).decode()}]).encode(),
        json.dumps([ITEM] * 33).encode(),
        b" " * (1 << 20) + b"[]",
    ],
)
def test_what_no_collector_writes_is_refused(text: bytes) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        read_devices(text)
    assert refused.value.code == "attest.nvidia_evidence"


@pytest.mark.parametrize("text", [b"0", b"zz", b"11 e0", b"11" * 20_000])
def test_what_is_no_line_of_hex_is_refused(text: bytes) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        read_hex(text)
    assert refused.value.code == "attest.nvidia_evidence"


def test_only_one_terminating_zero_is_dropped() -> None:
    report = gpu().report
    for tail, kept in ((b"", 0), (b"\0", 0), (b"\1", 1), (b"\0\0", 2)):
        assert read_hex((report + tail).hex().encode()) == report + tail[: len(tail) if kept else 0]


def test_a_bundle_is_judged_by_the_pinned_roots() -> None:
    evidence = {"devices": (FIXTURES / "one_gpu.json").read_bytes()}
    bundle = Bundle(kind="nvidia", evidence=evidence)
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(bundle, now=1_780_000_000, expectations=Expectations(any_nonce=True))
    assert refused.value.code == "attest.nvidia_root", "the simulated NVIDIA is not NVIDIA"


@pytest.mark.parametrize(
    "bundle",
    [
        Bundle(kind="nvidia", evidence={}),
        Bundle(kind="nvidia", evidence={"devices": b"[]", "more": b""}),
        Bundle(kind="nvidia", evidence={"devices": b"[]"}, certificates=(b"",)),
        Bundle(kind="nvidia", evidence={"devices": b"[]"}, crls=(b"",)),
    ],
)
def test_a_bundle_with_other_parts_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(bundle, now=0, expectations=Expectations())
    assert refused.value.code == "attest.bundle_parts"
