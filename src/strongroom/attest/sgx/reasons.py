"""Why an enclave is refused, beyond what `dcap.reasons` says of its platform."""

from __future__ import annotations

from strongroom.attest.dcap import reasons as dcap
from strongroom.attest.interface import Reason, table

_CODE = "Refuse it; such an enclave's memory is not protected, or it is not a production one."
_ALLOW = "Start the enclave that was measured, or add its value to the expectations."

REASONS = dcap.REASONS | table(
    Reason("attest.sgx_debug", "The enclave runs in debug mode.", _CODE),
    Reason("attest.sgx_initialised", "The enclave was not initialised, or is not 64-bit.", _CODE),
    Reason(
        "attest.sgx_provisioning", "The enclave may use the platform's provisioning key.", _CODE
    ),
    Reason("attest.sgx_attributes", "The enclave has attributes that are not allowed.", _CODE),
    Reason("attest.sgx_reserved", "A reserved field of the enclave's report is not zero.", _CODE),
    Reason("attest.sgx_xfrm", "The extended feature mask is not an allowed one.", _ALLOW),
    Reason("attest.sgx_mrenclave", "MRENCLAVE is not an allowed one.", _ALLOW),
    Reason("attest.sgx_mrsigner", "MRSIGNER is not an allowed one.", _ALLOW),
    Reason("attest.sgx_product", "The ISV product id is not an allowed one.", _ALLOW),
    Reason("attest.sgx_isv_svn", "The enclave's security version is below the floor.", _ALLOW),
    Reason(
        "attest.sgx_report_data",
        "The report data is not what the challenge binds.",
        "Ask for a new quote over this challenge; the one at hand answers another.",
    ),
)
