"""Alter each byte of quotes, collateral, certificates and documents once; all must be refused.

Certificates and revocation lists are altered in DER, and chains written in canonical PEM again,
so that no refusal is owed to a changed letter of base64. The tests run a part of this; all of it::

    python -m tests.attest.flips

prints how many bytes there were, by target, and any alteration that was accepted; exit code 1 if
there was one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest.dcap.pem import write
from strongroom.attest.interface import Facts
from strongroom.attest.nitro import verify as nitro_verifier
from strongroom.attest.nitro.expectations import Expectations
from strongroom.attest.sgx import verify as sgx_verifier
from strongroom.attest.tdx import verify as tdx_verifier
from strongroom.errors import AttestationRefused
from tests.attest.dcap import support
from tests.attest.nitro import support as nitro_support
from tests.attest.simulated import intel, nitro


@dataclass(frozen=True)
class Target:
    """Bytes to alter, and what verifies the evidence with the altered bytes in place."""

    name: str
    data: bytes
    verify: Callable[[bytes], Facts]


def accepted(target: Target, step: int = 1, start: int = 0) -> list[int]:
    """Positions, every ``step``-th from ``start``, at which an altered bit was not refused."""
    found = []
    for at in range(start % step, len(target.data), step):
        altered = bytearray(target.data)
        altered[at] ^= 1 << at % 8
        with suppress(AttestationRefused):
            target.verify(bytes(altered))
            found.append(at)
    return found


Verify = Callable[[bytes, dict[str, bytes]], Facts]


def _chain(text: bytes) -> list[bytes]:
    read = x509.load_pem_x509_certificates(text.rstrip(b"\0"))
    return [one.public_bytes(Encoding.DER) for one in read]


def dcap(name: str, quote: bytes, parts: dict[str, bytes], verify: Verify) -> Iterator[Target]:
    """The quote, its certificates in DER, and each part of its collateral."""
    yield Target(f"{name} quote", quote, lambda data: verify(data, parts))
    at = quote.index(b"-----BEGIN")
    end = quote.rindex(b"-----END CERTIFICATE-----\n") + len(b"-----END CERTIFICATE-----\n")
    for i, certificate in enumerate(ders := _chain(quote[at:end])):

        def inside(data: bytes, i: int = i) -> Facts:
            chain = "".join(map(write, [*ders[:i], data, *ders[i + 1 :]])).encode()
            if len(chain) != end - at:
                raise AssertionError("the chain's length changed")
            return verify(quote[:at] + chain + quote[end:], parts)

        yield Target(f"{name} quote certificate {i}", certificate, inside)
    for part, content in parts.items():
        if not part.endswith("chain"):
            yield Target(
                f"{name} {part}",
                content,
                lambda data, part=part: verify(quote, parts | {part: data}),
            )
            continue
        for i, certificate in enumerate(chain := _chain(content)):

            def beside(
                data: bytes, i: int = i, chain: list[bytes] = chain, part: str = part
            ) -> Facts:
                text = "".join(map(write, [*chain[:i], data, *chain[i + 1 :]])).encode()
                return verify(quote, parts | {part: text})

            yield Target(f"{name} {part} {i}", certificate, beside)


def simulated() -> Iterator[Target]:
    """Under the simulated roots: both TDX versions, SGX, Nitro."""

    def td(quote: bytes, parts: dict[str, bytes]) -> Facts:
        return support.check_td(quote, collateral=parts)

    def enclave(quote: bytes, parts: dict[str, bytes]) -> Facts:
        return support.check_enclave(quote, collateral=parts)

    yield from dcap("TDX 4", intel.tdx(padding=bytes(8)), intel.collateral("TDX"), td)
    yield from dcap("TDX 5", intel.tdx(version=5), intel.collateral("TDX"), td)
    yield from dcap("SGX 3", intel.sgx(), intel.collateral("SGX"), enclave)
    yield Target("Nitro", nitro.document(), nitro_support.check)


def genuine() -> Iterator[Target]:
    """The real captures."""
    wanted = support.td(report_data="", any_report_data=True)
    hardened = support.platform(statuses=frozenset({"ConfigurationAndSWHardeningNeeded"}))
    lenient = support.enclave(report_data="", any_report_data=True, platform=hardened)
    now = support.REAL_2025

    def td(quote: bytes, parts: dict[str, bytes]) -> Facts:
        return tdx_verifier.verify(quote, now=now, collateral=parts, expectations=wanted)

    def enclave(quote: bytes, parts: dict[str, bytes]) -> Facts:
        return sgx_verifier.verify(quote, now=now, collateral=parts, expectations=lenient)

    def document(data: bytes) -> Facts:
        return nitro_verifier.verify(
            data, now=nitro_support.REAL_NOW, expectations=Expectations(any_nonce=True)
        )

    quote, parts = support.blob("tdx/v4_quote.bin"), support.pieces("tdx/v4_collateral.json")
    yield from dcap("real TDX 4", quote, parts, td)
    quote, parts = support.blob("sgx/v3_quote.bin"), support.pieces("sgx/v3_collateral.json")
    yield from dcap("real SGX 3", quote, parts, enclave)
    yield Target("real Nitro", nitro_support.captured("doc_1.bin"), document)


def main() -> int:
    """Alter everything there is."""
    total, bad, began = 0, 0, time.monotonic()
    targets = [*simulated(), *(genuine() if support.REAL.is_dir() else ())]
    for target in targets:
        target.verify(target.data)
        found = accepted(target)
        total, bad = total + len(target.data), bad + len(found)
        print(f"{target.name}: {len(target.data)} bytes, accepted at {found or 'none'}", flush=True)
    print(f"{total} bytes altered, {bad} accepted, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
