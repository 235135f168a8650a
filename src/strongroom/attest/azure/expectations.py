"""What an owner may choose about Azure's confidential VMs."""

from __future__ import annotations

import msgspec

from strongroom.attest.snp.expectations import Expectations as SnpExpectations


class Expectations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An owner's choices. The defaults accept only what is fully proven.

    Args:
        snp: what is expected of the hardware's report. Its ``report_data`` is not the workload's:
            leave it out.
        nonce: hex of the bytes that the vTPM's quote must answer, at most 64 bytes.
        any_nonce: judge a quote whose nonce nobody issued, such as an old capture.
        pcrs: PCR number (as text, 0 to 23) to the hex values that are allowed.
        unsafe_clock: whether the vTPM may say that its clock went backwards.
        require_secure_boot: whether the VM must have started with secure boot.
        allow_console: whether the VM may have a console that the host can reach.
    """

    snp: SnpExpectations = SnpExpectations()
    nonce: str = ""
    any_nonce: bool = False
    pcrs: dict[str, frozenset[str]] = {}
    unsafe_clock: bool = False
    require_secure_boot: bool = True
    allow_console: bool = False
