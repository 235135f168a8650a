"""A guest that speaks the KBS protocol, written from its specification and none of our code.

AES-KW, RSA-OAEP and GCM come from ``cryptography``, canonical JSON from ``rfc8785``, the key
derivation of ECDH-ES is written out. Its processor and its GPUs are simulated ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from tests.attest.nvidia import world as nvidia
from tests.attest.simulated import amd

CURVES = {"P-256": (ec.SECP256R1(), 32), "P-521": (ec.SECP521R1(), 66)}


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def concat_kdf(
    secret: bytes, algorithm: bytes, bits: int, apu: bytes = b"", apv: bytes = b""
) -> bytes:
    """RFC 7518, section 4.6.2, for up to 256 bits: one round of the hash."""
    parts = b"".join(struct.pack(">I", len(part)) + part for part in (algorithm, apu, apv))
    once = struct.pack(">I", 1) + secret + parts + struct.pack(">I", bits)
    return hashlib.sha256(once).digest()[: bits // 8]


def fields_of(report: bytes) -> dict[str, Any]:
    """A report as CoCo's agent writes it: field by field."""

    def at(start: int, length: int) -> list[int]:
        return list(report[start : start + length])

    def number(start: int, length: int) -> int:
        return int.from_bytes(report[start : start + length], "little")

    def tcb(start: int) -> dict[str, Any]:
        part = report[start : start + 8]
        if (report[0x188], report[0x189]) == amd.CPUID["Turin"][:2]:
            names = {"fmc": part[0], "bootloader": part[1], "tee": part[2], "snp": part[3]}
        else:
            names = {"fmc": None, "bootloader": part[0], "tee": part[1], "snp": part[6]}
        return {**names, "microcode": part[7]}

    def build(start: int) -> dict[str, int]:
        return {"build": report[start], "minor": report[start + 1], "major": report[start + 2]}

    return {
        "version": number(0, 4), "guest_svn": number(4, 4), "policy": number(8, 8),
        "family_id": at(0x10, 16), "image_id": at(0x20, 16), "vmpl": number(0x30, 4),
        "sig_algo": number(0x34, 4), "current_tcb": tcb(0x38), "plat_info": number(0x40, 8),
        "key_info": number(0x48, 4), "report_data": at(0x50, 64), "measurement": at(0x90, 48),
        "host_data": at(0xC0, 32), "id_key_digest": at(0xE0, 48),
        "author_key_digest": at(0x110, 48), "report_id": at(0x140, 32),
        "report_id_ma": at(0x160, 32), "reported_tcb": tcb(0x180),
        "cpuid_fam_id": report[0x188], "cpuid_mod_id": report[0x189], "cpuid_step": report[0x18A],
        "chip_id": at(0x1A0, 64), "committed_tcb": tcb(0x1E0), "current": build(0x1E8),
        "committed": build(0x1EC), "launch_tcb": tcb(0x1F0),
        "signature": {"r": at(0x2A0, 72), "s": at(0x2E8, 72)},
    }  # fmt: skip


@dataclass
class Guest:
    """``kind`` is the key's: P-256, P-521 or RSA. ``gpus`` are simulated ones, by number."""

    kind: str = "P-256"
    product: str = "Genoa"
    gpus: tuple[int, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind == "RSA":
            self.private: Any = rsa.generate_private_key(65537, 2048)
            numbers = self.private.public_key().public_numbers()
            self.jwk = {
                "kty": "RSA",
                "alg": "RSA-OAEP-256",
                "n": b64url(numbers.n.to_bytes(256, "big")),
                "e": "AQAB",
            }
            return
        curve, size = CURVES[self.kind]
        self.private = ec.generate_private_key(curve)
        point = self.private.public_key().public_numbers()
        self.jwk = {
            "kty": "EC",
            "crv": self.kind,
            "alg": "ECDH-ES+A256KW",
            "x": b64url(point.x.to_bytes(size, "big")),
            "y": b64url(point.y.to_bytes(size, "big")),
        }

    def request(self) -> dict[str, Any]:
        return {
            "version": "0.4.0",
            "tee": "snp",
            "extra-params": {"supported-hash-algorithms": ["sha-256", "sha-384", "sha-512"]},
        }

    def attestation(self, nonce: str) -> dict[str, Any]:
        """Evidence for this challenge: the GPUs' first, which the processor's then commits to."""
        runtime = {"nonce": nonce, "tee-pubkey": self.jwk}
        additional = ""
        if self.gpus:
            answered = hashlib.sha384(rfc8785.dumps(runtime)).digest()[:32]
            additional = json.dumps({"nvidia": self.devices(answered)})
        bound = hashlib.sha384(rfc8785.dumps({**runtime, "additional-evidence": additional}))
        made = {"report_data": bound.digest() + bytes(16), **self.report}
        report = amd.Fields(self.product, **made).report()
        return {
            "runtime-data": runtime,
            "tee-evidence": {
                "primary_evidence": {
                    "attestation_report": fields_of(report),
                    "cert_chain": [
                        {"cert_type": "VCEK", "data": list(amd.load(self.product, "vcek"))}
                    ],
                },
                "additional_evidence": additional,
            },
        }

    def devices(self, nonce: bytes) -> dict[str, Any]:
        samples = [nvidia.gpu(number, nonce=nonce) for number in self.gpus]
        return {
            "device_evidence_list": [
                {
                    "arch": "Hopper",
                    "uuid": "GPU-0",
                    "evidence": base64.b64encode(sample.report).decode(),
                    "certificate": base64.b64encode(sample.pem).decode(),
                }
                for sample in samples
            ]
        }

    def open(self, sealed: dict[str, str]) -> bytes:
        """Decrypt a flattened JWE."""
        assert set(sealed) == {"protected", "encrypted_key", "iv", "ciphertext", "tag"}
        header = json.loads(unb64url(sealed["protected"]))
        assert header["enc"] == "A256GCM"
        content_key = self.unwrap(header, unb64url(sealed["encrypted_key"]))
        return AESGCM(content_key).decrypt(
            unb64url(sealed["iv"]),
            unb64url(sealed["ciphertext"]) + unb64url(sealed["tag"]),
            sealed["protected"].encode(),
        )

    def unwrap(self, header: dict[str, Any], wrapped: bytes) -> bytes:
        if self.kind == "RSA":
            assert header["alg"] == "RSA-OAEP-256"
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
            return self.private.decrypt(wrapped, oaep)
        assert header["alg"] == "ECDH-ES+A256KW"
        curve, _ = CURVES[header["epk"]["crv"]]
        x, y = (int.from_bytes(unb64url(header["epk"][name]), "big") for name in ("x", "y"))
        peer = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        secret = self.private.exchange(ec.ECDH(), peer)
        return aes_key_unwrap(concat_kdf(secret, b"ECDH-ES+A256KW", 256), wrapped)
