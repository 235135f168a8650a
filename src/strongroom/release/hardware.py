"""The workload's side of evidence on a machine whose hardware speaks for it."""

from __future__ import annotations

import msgspec

from strongroom.attest.bundle import Bundle, encode
from strongroom.attest.collect.interface import Collector
from strongroom.release.bound import binding_size


class HardwareAttester:
    """Has the machine's collectors gather evidence.

    Args:
        guest: collects the processor's evidence.
        beside: a bundle of the same kind with what the collector does not find by itself
            (certificates, revocation lists, collateral); its evidence is not used.
        accelerators: collects the devices' evidence, if there are any.
        manifests: a bundle with the devices' signed manifests.
    """

    def __init__(
        self,
        guest: Collector,
        beside: Bundle | None = None,
        accelerators: Collector | None = None,
        manifests: Bundle | None = None,
    ) -> None:
        self._guest, self._beside = guest, beside
        self._accelerators, self._manifests = accelerators, manifests

    @property
    def kind(self) -> str:
        """The kind of the guest's evidence."""
        return self._guest.kind

    def devices(self, nonce: bytes) -> bytes:
        """The devices' evidence, if there are any; the collector's errors."""
        if self._accelerators is None:
            return b""
        return encode(_completed(self._accelerators.collect(nonce), self._manifests))

    def attest(self, report_data: bytes) -> bytes:
        """The guest's evidence; the collector's errors."""
        bound = report_data[: binding_size(self.kind)]
        return encode(_completed(self._guest.collect(bound), self._beside))


def _completed(found: Bundle, beside: Bundle | None) -> Bundle:
    if beside is None:
        return found
    return msgspec.structs.replace(
        found,
        certificates=found.certificates or beside.certificates,
        crls=found.crls or beside.crls,
        collateral=found.collateral or beside.collateral,
    )
