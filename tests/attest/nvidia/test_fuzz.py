"""Whatever a GPU's evidence is made of, the verifier refuses or accepts, in bounded time."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.attest.interface import Checks
from strongroom.attest.nvidia import rim
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.evidence import read_devices, read_hex
from strongroom.attest.nvidia.reasons import REASONS
from strongroom.attest.nvidia.report import parse
from strongroom.errors import AttestationRefused

from .world import RIMS, ROOTS, gpu, judge

REPORT, PEM = gpu().report, gpu().pem
FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
XML = st.sampled_from(
    [b"<", b">", b"&", b"&amp;", b"&x;", b"<!DOCTYPE a>", b"<!--", b"-->", b"<?x ?>", b'"', b"\xff",
     b"<a>", b"</a>", b"]]>", b"xmlns:ns9='u'", b"\0", b"<ds:Signature>", b"Hash99='0'"]
)  # fmt: skip


def splice(whole: bytes, at: int, put: bytes, gone: int) -> bytes:
    return whole[:at] + put + whole[at + gone :]


@FAST
@given(st.binary(max_size=600))
def test_any_bytes_are_no_report(data: bytes) -> None:
    for text in (data, REPORT[:37] + data, REPORT[:45] + data):
        with suppress(AttestationRefused):
            parse(text, Checks(REASONS))
            raise AssertionError("accepted")


@FAST
@given(st.integers(0, len(REPORT)), st.binary(max_size=12), st.integers(0, 12))
def test_a_spliced_report_is_refused_or_is_the_same(at: int, put: bytes, gone: int) -> None:
    altered = splice(REPORT, at, put, gone)
    with suppress(AttestationRefused):
        judge(DeviceEvidence("HOPPER", altered, PEM))
        assert altered == REPORT


@FAST
@given(st.integers(0, len(PEM)), st.binary(max_size=12), st.integers(0, 80))
def test_spliced_certificates_are_refused_or_are_the_same(at: int, put: bytes, gone: int) -> None:
    altered = splice(PEM, at, put, gone)
    with suppress(AttestationRefused):
        judge(DeviceEvidence("HOPPER", REPORT, altered))
        assert b"".join(altered.split()) == b"".join(PEM.split())


@FAST
@given(st.integers(0, len(RIMS[0])), XML | st.binary(max_size=8), st.integers(0, 40))
def test_a_spliced_manifest_is_refused_or_says_the_same(at: int, put: bytes, gone: int) -> None:
    with suppress(AttestationRefused):
        read = rim.read(splice(RIMS[0], at, put, gone), ROOTS.rim)
        assert read == rim.read(RIMS[0], ROOTS.rim)


@FAST
@given(st.binary(max_size=300))
def test_any_bytes_are_no_evidence(data: bytes) -> None:
    for read in (read_devices, read_hex):
        with suppress(AttestationRefused):
            read(data)


def test_the_largest_inputs_take_bounded_time_and_memory() -> None:
    """Each is as large as a reader looks at, and of the shape that costs it most."""
    deep = b"<a>" * 18_000 + b"</a>" * 18_000
    wide = b"<a " + b" ".join(b'b%d=""' % number for number in range(14_000)) + b"/>"
    names = b"<a>" + b'<b xmlns="%s"/>' % (b"u" * 60) * 1_500 + b"</a>"
    huge = RIMS[0] + b" " * 50_000_000
    resources = RIMS[0].replace(b"</ns0:Payload>", b"<ns0:Resource/>" * 7_000 + b"</ns0:Payload>")
    certificates = PEM * 4
    tracemalloc.start()
    begin = time.perf_counter()
    for document in (deep[: rim.MAX_BYTES], wide, names, huge, resources):
        with suppress(AttestationRefused):
            rim.read(document, ROOTS.rim)
            raise AssertionError("accepted")
    for evidence in (
        DeviceEvidence("HOPPER", REPORT, certificates),
        DeviceEvidence("HOPPER", REPORT, b"-----BEGIN CERTIFICATE-----\n" * 500_000),
        DeviceEvidence("HOPPER", REPORT[:37] + b"\x11\x60\0\0\xff" + b"\xff" * 70_000, PEM),
    ):
        with suppress(AttestationRefused):
            judge(evidence)
            raise AssertionError("accepted")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - begin < 10
    assert peak < 100_000_000
