"""What ``benchmarks.attest`` times for TDX, SGX and Nitro, under simulated roots.

- cold: certificates, revocation lists and collateral are read from bytes each time.
- collateral remembered: what Intel published was read before; every signature is still verified.
- platform remembered: `dcap.cache.PlatformCache`; the quote's own signature is verified.
- intermediates remembered: every document comes from another enclave with another certificate,
  below an instance that is known. Enclave remembered: from one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest import certificates
from strongroom.attest.dcap import collateral, pem, strict
from strongroom.attest.dcap.cache import PlatformCache
from tests.attest.dcap.support import check_enclave, check_td
from tests.attest.nitro.support import check
from tests.attest.simulated import intel, nitro

#: More enclaves than signatures are remembered, so that each certificate is new when it comes.
ENCLAVES = 4200
Once = Callable[[], object]


def _forget() -> None:
    certificates.forget()
    pem.read_chain.cache_clear()
    strict._pieces.cache_clear()


def tdx_cold() -> Once:
    """A quote of version 4 and its nine parts of collateral."""
    quote, parts = intel.tdx(), intel.collateral()

    def once() -> object:
        _forget()
        return check_td(quote, collateral=parts)

    return once


def tdx_collateral() -> Once:
    """The same quote, its collateral read before."""
    quote, known = intel.tdx(), collateral.read(intel.collateral())
    return lambda: check_td(quote, collateral=known)


def tdx_platform() -> Once:
    """The same quote of a platform that was judged before."""
    quote, known, cache = intel.tdx(), collateral.read(intel.collateral()), PlatformCache()
    return lambda: check_td(quote, collateral=known, signatures=cache)


def sgx_cold() -> Once:
    """A quote of version 3 and its nine parts of collateral."""
    quote, parts = intel.sgx(), intel.collateral("SGX")

    def once() -> object:
        _forget()
        return check_enclave(quote, collateral=parts)

    return once


def nitro_cold() -> Once:
    """A document with a chain of five."""
    document = nitro.document()

    def once() -> object:
        certificates.forget()
        return check(document)

    return once


def nitro_intermediates() -> Once:
    """Documents of many enclaves on one instance."""
    certificates.forget()
    documents = cycle([_document(number) for number in range(ENCLAVES)])
    return lambda: check(next(documents))


def nitro_enclave() -> Once:
    """Documents of one enclave, whose certificate was read before."""
    document = nitro.document()
    check(document)
    return lambda: check(document)


def p384() -> Once:
    """The floor of SNP (one), Nitro (one, or two for a new enclave): a P-384 signature verified."""
    private = ec.generate_private_key(ec.SECP384R1())
    public, message, scheme = private.public_key(), bytes(4096), ec.ECDSA(hashes.SHA384())
    signature = private.sign(message, scheme)
    return lambda: public.verify(signature, message, scheme)


def _document(number: int) -> bytes:
    module = f"i-0123456789abcdef0-enc{number:017x}"
    subject = f"{module}.sim-east-1.aws"
    return nitro.document(
        fields={"module_id": module},
        certificate=nitro.leaf(subject=subject),
        signed_by=subject,
    )


CASES: dict[str, Callable[[], Once]] = {
    "tdx-cold": tdx_cold,
    "tdx-collateral": tdx_collateral,
    "tdx-platform": tdx_platform,
    "sgx-cold": sgx_cold,
    "nitro-cold": nitro_cold,
    "nitro-intermediates": nitro_intermediates,
    "nitro-enclave": nitro_enclave,
    "p384": p384,
}
