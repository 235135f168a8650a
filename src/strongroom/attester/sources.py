"""From a configuration to the machine's collectors of evidence."""

from __future__ import annotations

from pathlib import Path

from strongroom.attest.bundle import MAX_BYTES, Bundle, decode
from strongroom.attest.collect.configfs_tsm import TsmCollector
from strongroom.attest.collect.interface import Collector
from strongroom.attest.collect.nsm import NsmCollector
from strongroom.attest.collect.nvidia import NvidiaCollector
from strongroom.attest.collect.sev_guest import SevGuestCollector
from strongroom.attest.collect.tpm import TpmCollector
from strongroom.attester.config import EvidenceSource
from strongroom.errors import ConfigurationRefused
from strongroom.release.hardware import HardwareAttester


def attester_of(source: EvidenceSource) -> HardwareAttester:
    """What gathers the evidence of ``source``.

    Raises:
        ConfigurationRefused: ``attester.no_device``, ``attester.bad_bundle``.
        EvidenceRefused: ``attest.bundle_*``: a bundle named there is none.
    """
    beside = _bundle(source.beside, source.guest)
    return HardwareAttester(
        _guest(source, beside),
        beside,
        NvidiaCollector() if source.gpus else None,
        _bundle(source.gpu_manifests, "nvidia"),
    )


def _guest(source: EvidenceSource, beside: Bundle | None) -> Collector:
    kind = source.guest
    if kind in ("snp", "tdx") and source.device == "configfs-tsm":
        return TsmCollector(kind)
    if kind == "snp":
        return SevGuestCollector()
    if kind == "nitro":
        return NsmCollector()
    if kind == "tpm" and source.ak:
        # The bare key is left out where a chain vouches for it.
        return TpmCollector(source.ak, certificates=beside.certificates if beside else ())
    raise ConfigurationRefused(
        "attester.no_device",
        f"No device here gives evidence of the kind {kind} as it is configured.",
        action="See [evidence] in docs/configuration.md: `tpm` needs `ak`, `tdx` configfs-tsm.",
    )


def _bundle(path: str, kind: str) -> Bundle | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            found = decode(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise ConfigurationRefused(
            "attester.bad_bundle",
            f"The bundle {path} cannot be read: {error.strerror}.",
            action="Correct [evidence] in strongroom.toml.",
        ) from None
    if found.kind != kind:
        raise ConfigurationRefused(
            "attester.bad_bundle",
            f"The bundle {path} is of the kind {found.kind}, and {kind} is wanted.",
            action="Correct [evidence] in strongroom.toml.",
        )
    return found
