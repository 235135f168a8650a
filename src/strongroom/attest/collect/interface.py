"""What every collector of evidence offers.

Collectors run inside the machine that is to be attested, and are the only part of this room that
touches devices. Nothing that they gather is believed: it becomes a bundle, and a verifier judges.
"""

from __future__ import annotations

from typing import Protocol

from strongroom.attest.bundle import Bundle


class Collector(Protocol):
    """Gathers evidence of one kind on this machine."""

    @property
    def kind(self) -> str:
        """The kind of evidence, as the registry names it."""

    def collect(self, report_data: bytes) -> Bundle:
        """Fresh evidence that commits to ``report_data``.

        Raises:
            EnvironmentLacks: the device or its driver is not there, or refused.
            ValueError: ``report_data`` has not the length that the device takes.
        """
