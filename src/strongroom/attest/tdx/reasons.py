"""Why a trust domain is refused, beyond what `dcap.reasons` says of its platform."""

from __future__ import annotations

from strongroom.attest.dcap import reasons as dcap
from strongroom.attest.interface import Reason, table

_CODE = "Refuse it; such a trust domain's memory is not protected from the host."
_ALLOW = "Start the workload as it was measured, or add its value to the expectations."

REASONS = dcap.REASONS | table(
    Reason("attest.tdx_debug", "The trust domain runs in debug mode.", _CODE),
    Reason("attest.tdx_profiling", "The host may profile the trust domain.", _CODE),
    Reason(
        "attest.tdx_sept_ve_disable",
        "The trust domain does not disable #VE on pending pages, or is a partitioned one.",
        "Run on a platform that sets SEPT_VE_DISABLE; Azure's partitioned domains do not.",
    ),
    Reason("attest.tdx_migratable", "The trust domain can be migrated.", _CODE),
    Reason("attest.tdx_attributes_unknown", "An unknown attribute bit is set.", _CODE),
    Reason("attest.tdx_attributes", "An attribute is set that is not allowed.", _ALLOW),
    Reason("attest.tdx_xfam_unknown", "The extended feature mask is not a possible one.", _CODE),
    Reason("attest.tdx_seam_signer", "The TDX module was not signed by Intel.", _CODE),
    Reason("attest.tdx_seam_attributes", "The TDX module has attributes set.", _CODE),
    Reason("attest.tdx_service_td", "A service domain is bound to the trust domain.", _CODE),
    Reason("attest.tdx_xfam", "The extended feature mask is not an allowed one.", _ALLOW),
    Reason("attest.tdx_tee_tcb_svn", "A TEE TCB SVN is below the floor.", _ALLOW),
    Reason("attest.tdx_mrseam", "The TDX module is not an allowed one.", _ALLOW),
    Reason("attest.tdx_mrtd", "MRTD is not an allowed one.", _ALLOW),
    Reason("attest.tdx_rtmr0", "RTMR0 is not an allowed one.", _ALLOW),
    Reason("attest.tdx_rtmr1", "RTMR1 is not an allowed one.", _ALLOW),
    Reason("attest.tdx_rtmr2", "RTMR2 is not an allowed one.", _ALLOW),
    Reason("attest.tdx_rtmr3", "RTMR3 is not an allowed one.", _ALLOW),
    Reason("attest.tdx_mrconfigid", "MRCONFIGID is not an allowed one.", _ALLOW),
    Reason("attest.tdx_mrowner", "MROWNER is not an allowed one.", _ALLOW),
    Reason("attest.tdx_mrownerconfig", "MROWNERCONFIG is not an allowed one.", _ALLOW),
    Reason(
        "attest.tdx_report_data",
        "The report data is not what the challenge binds.",
        "Ask for a new quote over this challenge; the one at hand answers another.",
    ),
    Reason(
        "attest.tdx_event_log",
        "The event log cannot be read.",
        "Pass the guest's CCEL table's data, or dstack's event log, unchanged.",
    ),
    Reason(
        "attest.tdx_event_log_replay",
        "The event log does not replay to the quote's RTMRs.",
        "Take the log at the moment of the quote; if it recurs, the log was altered.",
    ),
    Reason("attest.tdx_event_missing", "The event log lacks an expected event.", _ALLOW),
)
