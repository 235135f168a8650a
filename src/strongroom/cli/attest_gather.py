"""Fetch what a verification needs from AMD: the one part of attestation that uses a network.

Nothing that is fetched is trusted for where it came from: every certificate and list is judged by
the pinned root when the bundle is verified. So a cache in between may speak plain HTTP.

Source: AMD 57230, section 4 (Key Distribution Service). Not tried against the service itself.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import IO

from strongroom.attest.certificates import read_pem
from strongroom.attest.snp.products import LAYOUTS, of_processor, tcb_of
from strongroom.attest.snp.report import Report, parse
from strongroom.errors import ConfigurationRefused, EnvironmentLacks

AMD = "https://kdsintf.amd.com"
MAX_ANSWER = 1024 * 1024
TIMEOUT_S = 30
SPL = {
    "bootloader": "blSPL",
    "tee": "teeSPL",
    "snp": "snpSPL",
    "microcode": "ucodeSPL",
    "fmc": "fmcSPL",
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """Certificates (signer first, root last) and revocation lists, DER."""

    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: Message, newurl: str,
    ) -> None:  # fmt: skip
        return None


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
    chain = _pem(fetch(f"{base}/cert_chain"))
    leaf = key or (fetch(vcek_address(parsed, named, service)),)
    return Gathered((*leaf, *chain), (fetch(f"{base}/crl"),))


def vcek_address(report: Report, product: str, service: str = AMD) -> str:
    """Where the certificate for exactly this chip and reported TCB is."""
    tcb = tcb_of(product, report.reported_tcb)
    query = urllib.parse.urlencode({SPL[name]: f"{value:02}" for name, value in tcb.items()})
    chip = report.chip_id[: LAYOUTS[product].hwid].hex()
    return f"{service}/vcek/v1/{product}/{chip}?{query}"


def fetch(address: str) -> bytes:
    """The answer to one GET, without redirects, at most 1 MiB.

    Raises:
        EnvironmentLacks: ``cli.attest_fetch``.
    """
    if urllib.parse.urlsplit(address).scheme not in ("https", "http"):
        raise _not_fetched(address)
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(address, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read(MAX_ANSWER + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise _not_fetched(address) from error
    if not body or len(body) > MAX_ANSWER:
        raise _not_fetched(address)
    return body


def _pem(text: bytes) -> tuple[bytes, ...]:
    try:
        return read_pem(text)
    except ValueError as error:
        raise _not_fetched("cert_chain") from error


def _not_fetched(address: str) -> EnvironmentLacks:
    return EnvironmentLacks(
        "cli.attest_fetch",
        f"No usable answer came from {address}.",
        action="Check the network, or pass the files with --certificate and --crl.",
    )
