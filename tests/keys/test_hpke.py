"""The hybrid recipient, and a second implementation of what it rests on.

``_open_by_hand`` decapsulates and decrypts from the component algorithms and the text of RFC 9180
and of the X-Wing draft, with the standard library's HMAC and SHA-3. Its key schedule is checked
against pyhpke (and pyca against pyhpke) on a suite that both know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
from wrapper_contract import CONTEXT, check_contract, code_of

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys import hpke_keys
from strongroom.keys.envelope import binding
from strongroom.keys.hpke import HpkeIdentity, HpkeRecipient


def test_contract() -> None:
    check_contract(HpkeIdentity.generate(), HpkeIdentity.generate())


def test_the_public_half_wraps_and_cannot_unwrap() -> None:
    identity = HpkeIdentity.generate()
    key = DataKey.generate()
    stanza = HpkeRecipient(identity.recipient.public).wrap(key, CONTEXT)
    assert bytes(identity.unwrap(stanza, CONTEXT).reveal(TOKEN)) == bytes(key.reveal(TOKEN))
    assert code_of(lambda: identity.recipient.unwrap(stanza, CONTEXT)) == "keys.public_only"


def test_files(tmp_path: Path) -> None:
    identity = HpkeIdentity.generate()
    secret, public = tmp_path / "identity", tmp_path / "recipient"
    identity.save(secret)
    identity.recipient.save(public)
    stanza = HpkeRecipient.load(public).wrap(DataKey.generate(), CONTEXT)
    HpkeIdentity.load(secret).unwrap(stanza, CONTEXT)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert code_of(lambda: identity.save(secret)) == "keys.file_exists"
    assert code_of(lambda: HpkeIdentity.load(public)) == "keys.file_permissions"
    assert code_of(lambda: HpkeRecipient.load(secret)) == "keys.hpke_malformed"
    document = json.loads(public.read_text())
    short = base64.b64encode(b"short").decode()
    public.write_text(json.dumps({**document, "public": short}))
    assert code_of(lambda: HpkeRecipient.load(public)) == "keys.bad_public_key"


def test_closing_overwrites_and_repr_hides() -> None:
    identity = HpkeIdentity.generate()
    stanza = identity.wrap(DataKey.generate(), CONTEXT)
    assert identity._seed.hex() not in repr(identity)
    assert any(identity._seed)
    identity.close()
    assert not any(identity._seed)
    assert code_of(lambda: identity.unwrap(stanza, CONTEXT)) == "keys.closed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda public: public[:1184] + bytes(32),  # a point of order one: the secret would be zero
        lambda public: b"\xff" * 1184 + public[1184:],  # coefficients beyond the modulus
        lambda public: public[:-1],
    ],
)
def test_unusable_public_keys(spoil: Callable[[bytes], bytes]) -> None:
    public = HpkeIdentity.generate().recipient.public
    HpkeRecipient(public).wrap(DataKey.generate(), CONTEXT)
    bad = spoil(public)
    refused = code_of(lambda: HpkeRecipient(bad).wrap(DataKey.generate(), CONTEXT))
    assert refused == "keys.bad_public_key"


def test_against_a_second_implementation() -> None:
    seed = bytes(range(32))
    identity = HpkeIdentity(seed)
    key = DataKey.generate()
    stanza = identity.wrap(key, CONTEXT)
    info = binding(b"strongroom hpke wrap v1", identity.key_id, CONTEXT)
    opened = _open_by_hand(seed, base64.b64decode(stanza.wrapped), info)
    assert opened == bytes(key.reveal(TOKEN))


def test_framing_and_key_schedule_against_pyhpke() -> None:
    private = X25519PrivateKey.generate()
    public = private.public_key()
    theirs = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA384, AEADId.AES256_GCM)
    ours = Suite(KEM.X25519, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
    sent = ours.encrypt(b"from us", public, b"info")
    context = theirs.create_recipient_context(
        sent[:32], KEMKey.from_pyca_cryptography_key(private), info=b"info"
    )
    assert context.open(sent[32:]) == b"from us"
    enc, sender = theirs.create_sender_context(
        KEMKey.from_pyca_cryptography_key(public), info=b"info"
    )
    received = sender.seal(b"from them")
    assert ours.decrypt(enc + received, private, b"info") == b"from them"
    # The schedule written out below arrives at the very key that pyhpke sealed with.
    suite = b"HPKE" + struct.pack(">HHH", 0x0020, 2, 2)
    shared = _dhkem_secret(private, enc)
    key, nonce = _schedule(suite, shared, b"info")
    assert AESGCM(key).decrypt(nonce, received, b"") == b"from them"


def _open_by_hand(seed: bytes, wrapped: bytes, info: bytes) -> bytes:
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    ciphertext_m, ciphertext_x = wrapped[:1088], wrapped[1088:1120]
    secret_m = mlkem.decapsulate(ciphertext_m)
    secret_x = x25519.exchange(X25519PublicKey.from_public_bytes(ciphertext_x))
    public_x = x25519.public_key().public_bytes_raw()
    label = bytes.fromhex("5c2e2f2f5e5c")
    shared = hashlib.sha3_256(secret_m + secret_x + ciphertext_x + public_x + label).digest()
    suite = b"HPKE" + struct.pack(">HHH", 0x647A, 2, 2)
    key, nonce = _schedule(suite, shared, info)
    return AESGCM(key).decrypt(nonce, wrapped[1120:], b"")


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes, algorithm: str) -> bytes:
    return hmac.digest(salt or b"\0", b"HPKE-v1" + suite + label + secret, algorithm)


def _expand(
    suite: bytes, secret: bytes, label: bytes, info: bytes, size: int, algorithm: str
) -> bytes:
    labelled = struct.pack(">H", size) + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labelled + b"\x01", algorithm)[:size]


def _schedule(suite: bytes, shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    empty = _extract(suite, b"", b"psk_id_hash", b"", "sha384")
    context = b"\0" + empty + _extract(suite, b"", b"info_hash", info, "sha384")
    secret = _extract(suite, shared, b"secret", b"", "sha384")
    return (
        _expand(suite, secret, b"key", context, 32, "sha384"),
        _expand(suite, secret, b"base_nonce", context, 12, "sha384"),
    )


def _dhkem_secret(private: X25519PrivateKey, enc: bytes) -> bytes:
    suite = b"KEM" + struct.pack(">H", 0x0020)
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    prk = _extract(suite, b"", b"eae_prk", shared, "sha256")
    both = enc + private.public_key().public_bytes_raw()
    return _expand(suite, prk, b"shared_secret", both, 32, "sha256")


def test_sizes_are_those_of_the_suite() -> None:
    sealed = hpke_keys.encrypt(b"x" * 32, HpkeIdentity.generate().recipient.public, b"")
    assert len(sealed) == 32 + hpke_keys.OVERHEAD_BYTES
    assert KEM.MLKEM768_X25519.enc_length() == hpke_keys.ENCAPSULATED_BYTES
