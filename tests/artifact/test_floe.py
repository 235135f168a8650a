"""FLOE against the known answers of its specification's implementations, and its own refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.artifact.floe import (
    GCM256_IV256_4K,
    HEADER_BYTES,
    OVERHEAD,
    Floe,
    FloeError,
    Parameters,
)

KEY = bytes(32)
AAD = b"This is AAD"
SMALL = Parameters(64)
KNOWN = {
    "GCM256_IV256_4K": GCM256_IV256_4K,
    "GCM256_IV256_64": SMALL,
    "rotation": Parameters(40, rotation_bits=2),
    "lastSegAligned": Parameters(40),
    "lastSegEmpty": Parameters(40),
}
FILES = [
    *(f"{who}_{what}" for who in ("cpp", "go", "java") for what in list(KNOWN)[:3]),
    "java_lastSegAligned",
    "java_lastSegEmpty",
]


def encrypt(parameters: Parameters, plaintext: bytes) -> bytes:
    state, header = Floe.start_encryption(parameters, KEY, AAD)
    pieces = [
        plaintext[i : i + parameters.plaintext_bytes]
        for i in range(0, len(plaintext), parameters.plaintext_bytes)
    ]
    out = bytearray(header)
    for number, piece in enumerate(pieces):
        segment = bytearray(parameters.segment_bytes)
        length = state.encrypt_segment(
            number, number == len(pieces) - 1, piece, memoryview(segment)
        )
        out += segment[:length]
    return bytes(out)


def decrypt(parameters: Parameters, ciphertext: bytes, key: bytes = KEY, aad: bytes = AAD) -> bytes:
    state = Floe.start_decryption(parameters, key, aad, ciphertext[:HEADER_BYTES])
    body = memoryview(ciphertext)[HEADER_BYTES:]
    size = parameters.segment_bytes
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    out = b""
    for number, piece in enumerate(pieces):
        plain = bytearray(max(0, len(piece) - OVERHEAD))
        state.decrypt_segment(number, number == len(pieces) - 1, piece, memoryview(plain))
        out += plain
    return out


@pytest.mark.parametrize("name", FILES)
def test_known_answers(shared_data: Path, name: str) -> None:
    folder = shared_data / "floe"
    ciphertext = bytes.fromhex((folder / f"{name}_ct.txt").read_text())
    plaintext = bytes.fromhex((folder / f"{name}_pt.txt").read_text())
    parameters = KNOWN[name.partition("_")[2]]
    assert decrypt(parameters, ciphertext) == plaintext
    assert decrypt(parameters, encrypt(parameters, plaintext)) == plaintext


@pytest.mark.parametrize("byte", [0, 5, 10, 41, 42, 73, 74, 78, 90, 137, 138, -1])
def test_every_region_is_authenticated(byte: int) -> None:
    spoiled = bytearray(encrypt(SMALL, bytes(range(80))))
    spoiled[byte] ^= 1
    with pytest.raises(FloeError):
        decrypt(SMALL, bytes(spoiled))


def test_key_and_associated_data_are_committed_to_in_the_header() -> None:
    ciphertext = encrypt(SMALL, b"x" * 32)
    for key, aad in ((b"\1" * 32, AAD), (KEY, b"other")):
        with pytest.raises(FloeError):
            Floe.start_decryption(SMALL, key, aad, ciphertext[:HEADER_BYTES])


def test_segments_cannot_move_or_end_early() -> None:
    ciphertext = encrypt(SMALL, bytes(range(96)))
    head, first, second, third = (
        ciphertext[a:b] for a, b in ((0, 74), (74, 138), (138, 202), (202, 266))
    )
    for altered in (second + first + third, first + first + third, first + third, first + second):
        with pytest.raises(FloeError):
            decrypt(SMALL, head + altered)
    assert decrypt(SMALL, head + first + second + third) == bytes(range(96))


def test_only_the_last_segment_may_be_short() -> None:
    state, _ = Floe.start_encryption(SMALL, KEY, AAD)
    with pytest.raises(ValueError):
        state.encrypt_segment(0, False, b"short", memoryview(bytearray(64)))


def test_closing_forgets_the_key() -> None:
    state, header = Floe.start_encryption(SMALL, KEY, AAD)
    out = bytearray(64)
    state.encrypt_segment(0, True, bytes(32), memoryview(out))
    again = Floe.start_decryption(SMALL, KEY, AAD, header)
    again.close()
    with pytest.raises(FloeError):
        again.decrypt_segment(0, True, memoryview(out), memoryview(bytearray(32)))
