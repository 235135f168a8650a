"""What Intel publishes about the platform of a quote: TCB info, QE identity, revocation lists.

1. The quote's PCK certificate names the platform's family (FMSPC) and which CA issued it.
2. That CA's revocation list, with its issuers in a header.
3. TCB info of the family, and the identity of the quoting enclave: the bytes that Intel signed are
   cut out of the answer as they came, the signature beside them, their issuers in a header.
4. The root's revocation list: from Intel's own place, or from a cache in the form of a PCCS.

Source: Intel SGX and TDX Provisioning Certification Service API, version 4. Never tried against
Intel's service; tested against a server that answers with recorded collateral.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from strongroom.attest.dcap.collateral import read
from strongroom.cli.attest_fetch import Fetched, fetch, not_fetched
from strongroom.errors import AttestationRefused, ConfigurationRefused, EnvironmentLacks

INTEL = "https://api.trustedservices.intel.com"
ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_CAS = ("platform", "processor")
_Form = TypeVar("_Form", bound=msgspec.Struct)


class _TcbInfo(msgspec.Struct, frozen=True, rename="camel"):
    tcb_info: msgspec.Raw
    signature: str


class _Identity(msgspec.Struct, frozen=True, rename="camel"):
    enclave_identity: msgspec.Raw
    signature: str


def for_quote(kind: str, quote: bytes, service: str = INTEL) -> dict[str, bytes]:
    """The nine parts of collateral for a quote; see ``attest.dcap.collateral``.

    Args:
        kind: ``tdx`` or ``sgx``.
        quote: as the machine gave it; it is not verified here.
        service: base address of Intel's service, or of a PCCS.

    Raises:
        ConfigurationRefused: ``cli.attest_gather``: the quote does not say what to ask for.
        EnvironmentLacks: ``cli.attest_fetch``, or dcap-qvl is not installed.
    """
    fmspc, ca = _platform(quote)  # (1)
    base, signed = f"{service}/sgx/certification/v4", f"{service}/{kind}/certification/v4"
    crl = fetch(f"{base}/pckcrl?ca={ca}&encoding=der", "SGX-PCK-CRL-Issuer-Chain")  # (2)
    tcb = fetch(f"{signed}/tcb?fmspc={fmspc}", "TCB-Info-Issuer-Chain")  # (3)
    qe = fetch(f"{signed}/qe/identity", "SGX-Enclave-Identity-Issuer-Chain")
    root_crl = _root_crl(service)  # (4)
    try:
        info, identity = _decoded(tcb, _TcbInfo), _decoded(qe, _Identity)
        parts = {
            "pck_crl_issuer_chain": crl.header,
            "root_ca_crl": root_crl,
            "pck_crl": _der(crl.body),
            "tcb_info_issuer_chain": tcb.header,
            "tcb_info": bytes(info.tcb_info),
            "tcb_info_signature": bytes.fromhex(info.signature),
            "qe_identity_issuer_chain": qe.header,
            "qe_identity": bytes(identity.enclave_identity),
            "qe_identity_signature": bytes.fromhex(identity.signature),
        }
        read(parts)  # what no verifier could read is no answer
    except (AttestationRefused, ValueError) as error:
        raise not_fetched(service) from error
    return parts


def _platform(quote: bytes) -> tuple[str, str]:
    """Step 1: FMSPC (hex) and the name of the CA."""
    try:
        import dcap_qvl
    except ImportError:
        raise EnvironmentLacks(
            "attest.dcap_qvl_missing",
            "Verifying TDX and SGX quotes needs the package dcap-qvl.",
            action="Install strongroom with the extra `attest`.",
        ) from None
    try:
        parsed = dcap_qvl.Quote.parse(quote)
        fmspc, ca = parsed.fmspc().lower(), parsed.ca().lower()
        if len(bytes.fromhex(fmspc)) != 6 or ca not in _CAS:
            raise ValueError(ca)
    except ValueError as error:
        raise ConfigurationRefused(
            "cli.attest_gather",
            "The evidence does not say what to ask for.",
            action="Pass a whole quote, with its PCK certificate, as --part quote=FILE.",
        ) from error
    return fmspc, ca


def _root_crl(service: str) -> bytes:
    """Step 4; a PCCS writes it in hex."""
    if service == INTEL:
        return fetch(ROOT_CRL).body
    return _der(fetch(f"{service}/sgx/certification/v4/rootcacrl").body)


def _der(body: bytes) -> bytes:
    try:
        return bytes.fromhex(body.decode("ascii"))
    except ValueError:
        return body


def _decoded(answer: Fetched, form: type[_Form]) -> _Form:
    try:
        return msgspec.json.decode(answer.body, type=form)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
