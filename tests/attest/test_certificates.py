"""Our strict reader of X.509 beside a general library's, and what neither may raise."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest import certificates, der
from tests.attest.simulated import amd

CERTIFICATES = [
    amd.load(product, part) for product in amd.PRODUCTS for part in ("ark", "ask", "vcek", "vlek")
]


@pytest.mark.parametrize("raw", CERTIFICATES, ids=range(len(CERTIFICATES)))
def test_a_general_library_reads_the_same(raw: bytes) -> None:
    ours, theirs = certificates.read(raw), x509.load_der_x509_certificate(raw)
    assert ours.serial == theirs.serial_number
    assert ours.subject == theirs.subject.public_bytes()
    assert ours.issuer == theirs.issuer.public_bytes()
    assert ours.not_before == int(theirs.not_valid_before_utc.timestamp())
    assert ours.not_after == int(theirs.not_valid_after_utc.timestamp())
    assert ours.signed.body == theirs.tbs_certificate_bytes
    assert ours.signed.signature == theirs.signature
    assert list(ours.extensions) == [e.oid.dotted_string for e in theirs.extensions]
    assert [e.critical for e in ours.extensions.values()] == [e.critical for e in theirs.extensions]


def test_a_revocation_list_is_read_the_same() -> None:
    raw = amd.crl("Genoa", revoked=(3, 7, 1 << 64))
    ours, theirs = certificates.read_revocations(raw), x509.load_der_x509_crl(raw)
    assert ours.serials == {entry.serial_number for entry in theirs} == {3, 7, 1 << 64}
    assert theirs.next_update_utc is not None
    assert ours.next_update == int(theirs.next_update_utc.timestamp())
    assert ours.issuer == theirs.issuer.public_bytes()


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(raw: bytes) -> None:
    for reader in (certificates.read, certificates.read_revocations, certificates.read_pem):
        with pytest.raises(ValueError):
            reader(raw)


@given(st.sampled_from(CERTIFICATES), st.data())
def test_altered_certificates_raise_one_kind_of_error(raw: bytes, data: st.DataObject) -> None:
    altered = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = certificates.read(bytes(altered))
        certificates.read_public_key(certificate.public_key)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("3080", "an indefinite length"),
        ("308101" + "00", "a length not in shortest form"),
        ("3003020100ff", "a byte behind"),
        ("30030201", "a byte too few"),
        ("1f8101", "a long tag"),
    ],
)
def test_what_is_not_der(raw: str, why: str) -> None:
    with pytest.raises(ValueError):
        der.only(bytes.fromhex(raw), der.SEQUENCE)


@pytest.mark.parametrize("raw", ["020200ff00", "02020001", "0201ff", "0200"])
def test_what_is_no_number(raw: str) -> None:
    with pytest.raises(ValueError):
        der.integer(der.only(bytes.fromhex(raw), der.INTEGER))


@given(st.integers(0, 1 << 80))
def test_numbers_come_back(number: int) -> None:
    body = number.to_bytes(number.bit_length() // 8 + 1, "big")
    assert der.integer(der.only(bytes([2, len(body)]) + body, der.INTEGER)) == number


def test_signatures_by_other_algorithms_do_not_count() -> None:
    ask, ark = (certificates.read(amd.load("Genoa", part)) for part in ("ask", "ark"))
    assert certificates.signed_by(ask.signed, ark.public_key)
    other = certificates.Signed(ask.signed.body, b"\x30\x00", ask.signed.signature)
    assert not certificates.signed_by(other, ark.public_key)
    assert not certificates.signed_by(ask.signed, certificates.read(CERTIFICATES[2]).public_key)
    assert not certificates.signed_by(ask.signed, b"")


def test_the_fixtures_are_there() -> None:
    assert len(list(Path(amd.FIXTURES).rglob("*.bin"))) == 24


BLOCK = (
    b"-----BEGIN CERTIFICATE-----\n"
    + base64.encodebytes(bytes(range(90)))
    + b"-----END CERTIFICATE-----\n"
)


@pytest.mark.parametrize("space", [b" ", b"\t", b"\r\n", b"\n\n"])
def test_white_space_may_vary_in_pem(space: bytes) -> None:
    assert certificates.read_pem(BLOCK[:40] + space + BLOCK[40:]) == (bytes(range(90)),)


@pytest.mark.parametrize("byte", [b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\x85", b"\xa0", b"\0"])
@pytest.mark.parametrize("at", [0, 40, len(BLOCK)])
def test_what_text_takes_for_white_space_does_not_count(byte: bytes, at: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        certificates.read_pem(BLOCK[:at] + byte + BLOCK[at:])
