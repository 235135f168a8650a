"""Fetch what a verification needs, from whoever made the processor or the devices.

AMD's part stands here, Intel's and NVIDIA's in files of their own; ``attest_fetch`` is what uses
the network.

Source: AMD 57230, section 4 (Key Distribution Service). Not tried against the service itself.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from strongroom.attest.certificates import read_pem
from strongroom.attest.snp.products import LAYOUTS, of_processor, tcb_of
from strongroom.attest.snp.report import Report, parse
from strongroom.cli.attest_fetch import fetch, not_fetched
from strongroom.errors import ConfigurationRefused

AMD = "https://kdsintf.amd.com"
SPL = {
    "bootloader": "blSPL",
    "tee": "teeSPL",
    "snp": "snpSPL",
    "microcode": "ucodeSPL",
    "fmc": "fmcSPL",
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """Certificates (signer first, root last) and revocation lists, DER; named collateral."""

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    collateral: dict[str, bytes] = field(default_factory=dict)


def gather(
    kind: str,
    evidence: Mapping[str, bytes],
    *,
    key: tuple[bytes, ...] = (),
    product: str | None = None,
    service: str | None = None,
) -> Gathered:
    """What is published for evidence of a kind.

    Args:
        kind: the bundle's kind.
        evidence: its parts.
        key: certificates that are at hand, the key's first (``snp``).
        product: see ``for_snp``.
        service: base address to ask instead of the maker's.

    Raises:
        ConfigurationRefused: ``cli.attest_fetch_kind``, ``cli.attest_gather``.
        EnvironmentLacks: ``cli.attest_fetch``.
    """
    if kind == "snp":
        report = evidence.get("report", b"")
        return for_snp(report, product=product, key=key, service=service or AMD)
    if kind in ("tdx", "sgx"):
        from strongroom.cli.attest_gather_intel import INTEL, for_quote

        return Gathered(collateral=for_quote(kind, evidence.get("quote", b""), service or INTEL))
    if kind == "nvidia":
        from strongroom.cli.attest_gather_nvidia import NVIDIA, for_devices

        found = for_devices(evidence.get("devices", b""), service or NVIDIA)
        return Gathered(collateral=found)
    raise ConfigurationRefused(
        "cli.attest_fetch_kind",
        f"Collateral of kind {kind!r} cannot be fetched.",
        action="Pass it with --certificate, --crl and --collateral.",
    )


def for_snp(
    report: bytes, *, product: str | None, key: tuple[bytes, ...], service: str = AMD
) -> Gathered:
    """The chain and revocation list for a report.

    Args:
        report: 1184 bytes.
        product: for reports of version 2, which do not name it.
        key: the key's certificate where it is at hand; a VLEK's must be, the cloud hands it out.
        service: base address of AMD's service or of a cache of it.

    Raises:
        ConfigurationRefused: ``cli.attest_gather``: the report does not say what to ask for.
        EnvironmentLacks: ``cli.attest_fetch``: the service did not answer as it should.
    """
    try:
        parsed = parse(report)
        named = of_processor(parsed.family, parsed.model) or product or ""
        kind = parsed.signing_key.lower()
        if named not in LAYOUTS or kind not in ("vcek", "vlek") or (kind == "vlek" and not key):
            raise ValueError(kind)
    except ValueError as error:
        raise ConfigurationRefused(
            "cli.attest_gather",
            "The report does not say which certificates to ask for.",
            action="Give --product for a report of version 2, --certificate for a cloud's VLEK.",
        ) from error
    base = f"{service}/{kind}/v1/{named}"
    chain = _pem(fetch(f"{base}/cert_chain").body)
    leaf = key or (fetch(vcek_address(parsed, named, service)).body,)
    return Gathered((*leaf, *chain), (fetch(f"{base}/crl").body,))


def vcek_address(report: Report, product: str, service: str = AMD) -> str:
    """Where the certificate for exactly this chip and reported TCB is."""
    tcb = tcb_of(product, report.reported_tcb)
    query = urllib.parse.urlencode({SPL[name]: f"{value:02}" for name, value in tcb.items()})
    chip = report.chip_id[: LAYOUTS[product].hwid].hex()
    return f"{service}/vcek/v1/{product}/{chip}?{query}"


def _pem(text: bytes) -> tuple[bytes, ...]:
    try:
        return read_pem(text)
    except ValueError as error:
        raise not_fetched("cert_chain") from error
