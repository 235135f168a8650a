"""A guest's evidence on this wire, as a bundle that our verifiers take.

Guests send no collateral: what a verifier needs besides (AMD's intermediate and root and their
list, Intel's collateral, NVIDIA's manifests) the operator gathered beforehand, as bundles. Only
shapes change here; whatever is wrong inside is for the verifiers to refuse.

- ``snp``: ``{"attestation_report": {...}, "cert_chain": [{"cert_type", "data"}]}``.
- ``tdx``: ``{"quote": base64, "cc_eventlog": base64}``; the log is not looked at.
- devices: ``{"nvidia": {"device_evidence_list": [{"arch", "evidence", "certificate"}]}}``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from strongroom.attest import certificates as x509
from strongroom.attest.bundle import Bundle
from strongroom.errors import ConfigurationRefused
from strongroom.release.kbs.reasons import refuse
from strongroom.release.kbs.snp_report import Fields

PRIMARY: Final = frozenset({"snp", "tdx"})
"""Kinds of CPU evidence that this wire takes."""

_MAX_CERTIFICATES: Final = 8
_CHAIN: Final = 3
_LEAVES: Final = frozenset({"VCEK", "VLEK"})


class _Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cert_type: Annotated[str, Meta(max_length=64)]
    data: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(max_length=8192)]


class _Snp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    attestation_report: Fields
    cert_chain: Annotated[tuple[_Certificate, ...], Meta(max_length=_MAX_CERTIFICATES)] | None = ()


class _Tdx(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    quote: bytes
    cc_eventlog: str | None = None


class _Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    arch: str
    evidence: str
    certificate: str
    uuid: str = ""


class _Nvidia(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_evidence_list: Annotated[tuple[_Device, ...], Meta(min_length=1, max_length=32)]


class _Additional(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nvidia: _Nvidia | None = None


class Collateral:
    """What the operator gathered for the verifiers.

    Args:
        bundles: of any kinds; of their evidence nothing is used. For SEV-SNP there may be several,
            whose certificates and lists are put together; of the others the last one counts.

    Raises:
        ConfigurationRefused: ``release.kbs_collateral``: a certificate or a list cannot be read.
    """

    def __init__(self, bundles: Iterable[Bundle] = ()) -> None:
        self._by_kind: dict[str, Bundle] = {}
        self._authorities: dict[bytes, bytes] = {}
        self._crls: dict[bytes, bytes] = {}
        for bundle in bundles:
            self._by_kind[bundle.kind] = bundle
            if bundle.kind == "snp":
                self._add(bundle)

    def _add(self, bundle: Bundle) -> None:
        try:
            for raw in bundle.certificates[1:]:
                self._authorities[x509.read(raw).subject] = raw
            for raw in bundle.crls:
                self._crls[x509.read_revocations(raw).issuer] = raw
        except ValueError as error:
            raise ConfigurationRefused(
                "release.kbs_collateral",
                f"A bundle of collateral holds something that cannot be read ({error}).",
                action="Make it again with `strongroom attest bundle`.",
            ) from None

    def bundle(self, tee: str, primary: bytes, additional: str) -> Bundle:
        """The evidence of one guest with all that its verification needs.

        Args:
            tee: the kind of CPU evidence, one of ``PRIMARY``.
            primary: JSON of the CPU's evidence.
            additional: JSON of the devices' evidence; empty or ``{}`` if there are none.

        Raises:
            KeyRefused: ``release.kbs_tee`` or ``release.kbs_evidence``.
        """
        devices = _decode(additional.encode(), _Additional) if additional else _Additional()
        nested = () if devices.nvidia is None else (self._nvidia(devices.nvidia),)
        if tee == "snp":
            return self._snp(_decode(primary, _Snp), nested)
        if tee == "tdx":
            quote = _decode(primary, _Tdx).quote
            known = self._by_kind.get("tdx")
            parts = {} if known is None else known.collateral
            return Bundle(kind="tdx", evidence={"quote": quote}, collateral=parts, nested=nested)
        raise refuse("release.kbs_tee")

    def _snp(self, evidence: _Snp, nested: tuple[Bundle, ...]) -> Bundle:
        try:
            report = evidence.attestation_report.encode()
        except struct.error:
            raise refuse("release.kbs_evidence") from None
        sent = evidence.cert_chain or ()
        leaves = [bytes(one.data) for one in sent if one.cert_type in _LEAVES]
        if len(leaves) != 1:
            raise refuse("release.kbs_evidence")
        chain, top = self._chain(leaves[0])
        return Bundle(
            kind="snp",
            evidence={"report": report},
            certificates=chain,
            crls=(self._crls[top],) if top in self._crls else (),
            nested=nested,
        )

    def _chain(self, leaf: bytes) -> tuple[tuple[bytes, ...], bytes]:
        """The leaf and the operator's authorities above it, as far as names lead; the last name."""
        chain, issuer = [leaf], b""
        try:
            while issuer := x509.read(chain[-1]).issuer:
                above = self._authorities.get(issuer)
                if above is None or len(chain) == _CHAIN:
                    break
                chain.append(above)
        except ValueError:
            raise refuse("release.kbs_evidence") from None
        return tuple(chain), issuer

    def _nvidia(self, evidence: _Nvidia) -> Bundle:
        listed = [
            {
                "arch": device.arch.upper(),  # guests write "Hopper", collectors "HOPPER"
                "evidence": device.evidence,
                "certificate": device.certificate,
            }
            for device in evidence.device_evidence_list
        ]
        known = self._by_kind.get("nvidia")
        return Bundle(
            kind="nvidia",
            evidence={"devices": msgspec.json.encode(listed)},
            collateral={} if known is None else known.collateral,
        )


def _decode(raw: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refuse("release.kbs_evidence") from None
