"""Every way in which a TDX quote can be genuine but wrong, each with its own reason code.

All quotes here are properly signed under the simulated root unless the case is about a signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from strongroom.attest.tdx.body import PKS
from strongroom.attest.tdx.expectations import Expectations
from tests.attest.dcap.support import DATA, check_td, platform, refused, td
from tests.attest.simulated import intel
from tests.attest.simulated.intel import NOW, PCK, PCK_CA, ROOT, SEPT_VE_DISABLE, SIGNING, Td

Case = tuple[str, bytes, Expectations, dict[str, Any]]
CASES: dict[str, Callable[[], Case]] = {}


def case(
    name: str,
    code: str,
    quote: Callable[[], bytes] = intel.tdx,
    wanted: Callable[[], Expectations] = td,
    **more: Callable[[], Any],
) -> None:
    assert name not in CASES
    CASES[name] = lambda: (code, quote(), wanted(), {k: make() for k, make in more.items()})


def body(name: str, code: str, version: int = 4, **fields: Any) -> None:
    case(name, code, lambda: intel.tdx(Td(**fields), version=version))


def framed(name: str, code: str, **changes: Any) -> None:
    case(name, code, lambda: intel.tdx(**changes))


def wants(name: str, code: str, **changes: Any) -> None:
    case(name, code, wanted=lambda: td(**changes))


def gathered(name: str, code: str, make: Callable[[], dict[str, bytes]]) -> None:
    case(name, code, collateral=make)


# framing
framed("version 3", "attest.dcap_version", version=3)
framed("version 99", "attest.dcap_version", version=99)
framed("an SGX quote's TEE type", "attest.dcap_tee_type", tee_type=0)
framed("attestation key of another type", "attest.dcap_key_type", key_type=3)
framed("reserved header bytes set", "attest.dcap_reserved", header_reserved=b"\0\0\0\1")
framed("another quoting enclave's vendor", "attest.dcap_qe_vendor", qe_vendor=bytes(16))
framed(
    "body type of another length", "attest.dcap_body_type", version=5, body_type=2, body=bytes(648)
)
framed("unknown body type", "attest.dcap_body_type", version=5, body_type=4, body=bytes(648))
framed("PCK certificate without its chain", "attest.dcap_certification_type", certification_type=4)
framed("outer certification data of another type", "attest.dcap_certification_type", outer_type=7)
framed("text after the signature", "attest.dcap_trailing", padding=b"\0\0extra")
case("cut off", "attest.dcap_framing", lambda: intel.tdx()[:-1])
case("longer than any quote", "attest.dcap_framing", lambda: intel.tdx(padding=bytes(65_536)))


AUTH = 48 + 584
OUTER = AUTH + 4 + 128 + 2


def _longer(*lengths: int) -> bytes:
    """A quote in which the lengths at these places say one byte more than there is."""
    quote = bytearray(intel.tdx())
    for at in lengths:
        size = int.from_bytes(quote[at : at + 4], "little") + 1
        quote[at : at + 4] = size.to_bytes(4, "little")
    return bytes(quote) + b"\0"


case("a gap in the certification data", "attest.dcap_framing", lambda: _longer(AUTH, OUTER))
case("a gap behind the certification data", "attest.dcap_framing", lambda: _longer(AUTH))

# the trust domain
body("debug", "attest.tdx_debug", attributes=SEPT_VE_DISABLE | 1)
body("profiled by the host", "attest.tdx_profiling", attributes=SEPT_VE_DISABLE | 1 << 5)
body("SEPT_VE_DISABLE clear", "attest.tdx_sept_ve_disable", attributes=0)
body("migratable", "attest.tdx_migratable", attributes=SEPT_VE_DISABLE | 1 << 29)
body("unknown attribute", "attest.tdx_attributes_unknown", attributes=SEPT_VE_DISABLE | 1 << 40)
body("reserved attribute below", "attest.tdx_attributes_unknown", attributes=SEPT_VE_DISABLE | 2)
body("XFAM without SSE", "attest.tdx_xfam_unknown", xfam=0x602E5)
body("XFAM beyond the module's", "attest.tdx_xfam_unknown", xfam=0x602E7 | 1 << 63)
body("module of another signer", "attest.tdx_seam_signer", mr_signer_seam=bytes([1] * 48))
body("module with attributes", "attest.tdx_seam_attributes", seam_attributes=b"\1" + bytes(7))
body("bound service domain", "attest.tdx_service_td", version=5, mr_service_td=bytes([1] * 48))
body("performance monitoring on", "attest.tdx_attributes", attributes=SEPT_VE_DISABLE | 1 << 63)

# what the owner expects
wants("another XFAM", "attest.tdx_xfam", xfam=frozenset({0x61AE7}))
wants("TEE TCB SVN below the floor", "attest.tdx_tee_tcb_svn", minimum_tee_tcb_svn="050104")
wants("another module", "attest.tdx_mrseam", mrseam=frozenset({"00" * 48}))
wants("another MRTD", "attest.tdx_mrtd", mrtd=frozenset({"00" * 48}))
wants("another RTMR0", "attest.tdx_rtmr0", rtmr0=frozenset({"a1" * 48}))
wants("another RTMR1", "attest.tdx_rtmr1", rtmr1=frozenset({"a0" * 48}))
wants("another RTMR2", "attest.tdx_rtmr2", rtmr2=frozenset({"a0" * 48}))
wants("another RTMR3", "attest.tdx_rtmr3", rtmr3=frozenset({"a0" * 48}))
wants("another MRCONFIGID", "attest.tdx_mrconfigid", mrconfigid=frozenset({"00" * 48}))
wants("another MROWNER", "attest.tdx_mrowner", mrowner=frozenset({"00" * 48}))
wants("another MROWNERCONFIG", "attest.tdx_mrownerconfig", mrownerconfig=frozenset({"00" * 48}))
wants("replayed report data", "attest.tdx_report_data", report_data="db" * 64)
wants("last byte of the report data", "attest.tdx_report_data", report_data=DATA[:63].hex() + "00")
wants("event without a log", "attest.tdx_event_missing", events=frozenset({"3:" + "ab" * 48}))
case("log that is none", "attest.tdx_event_log", event_log=lambda: b"nothing")
case(
    "log of another boot",
    "attest.tdx_event_log_replay",
    event_log=lambda: (
        b'[{"imr":3,"event_type":1,"digest":"%s","event":"","event_payload":""}]' % (b"ab" * 48)
    ),
)

# the platform
wants("multithreading on", "attest.dcap_smt", platform=platform(allow_smt=False))
wants("dynamic platform", "attest.dcap_dynamic", platform=platform(allow_dynamic=False))
wants("cached keys", "attest.dcap_cached_keys", platform=platform(allow_cached_keys=False))
wants("standard protection demanded", "attest.dcap_sgx_type", platform=platform(sgx_types=(0,)))
wants("platform not listed", "attest.dcap_platform", platform=platform(platforms=frozenset({"00"})))
wants("evaluation number", "attest.dcap_tcb_evaluation", platform=platform(minimum_evaluation=19))
OLD = bytes([4, 1, 2]) + bytes(13)
body("out-of-date TCB", "attest.dcap_tcb_status", tee_tcb_svn=OLD)
body("TCB below every level", "attest.dcap_tcb_level", tee_tcb_svn=bytes([1, 1, 1]) + bytes(13))
body(
    "module of no known version", "attest.dcap_tcb_level", tee_tcb_svn=bytes([5, 9, 3]) + bytes(13)
)
case(
    "out-of-date TCB past its grace",
    "attest.dcap_tcb_too_old",
    lambda: intel.tdx(Td(tee_tcb_svn=OLD)),
    lambda: td(platform=platform(statuses=frozenset({"OutOfDate"}))),
)
case(
    "open to a refused advisory",
    "attest.dcap_advisory",
    lambda: intel.tdx(Td(tee_tcb_svn=OLD)),
    lambda: td(
        platform=platform(
            statuses=frozenset({"OutOfDate"}),
            tcb_grace=500 * intel.DAY,
            refused_advisories=("INTEL-SA-00001",),
        )
    ),
)
framed(
    "platform of older microcode",
    "attest.dcap_tcb_level",
    platform=intel.Platform(cpu_svn=bytes(16)),
)
framed(
    "platform of another family",
    "attest.dcap_collateral_platform",
    platform=intel.Platform(fmspc=bytes(6)),
)

# keys and signatures
framed("signed by another key", "attest.dcap_quote_signature", signed_by="attacker")
framed("zero signature", "attest.dcap_quote_signature", signature=bytes(64))
framed(
    "key that the QE does not bind", "attest.dcap_attestation_key", qe={"report_data": bytes(64)}
)
framed("QE report signed by another", "attest.dcap_qe_signature", qe_signed_by="attacker")
framed("another enclave as QE", "attest.dcap_qe_identity", qe={"mr_signer": bytes(32)})
framed("another product as QE", "attest.dcap_qe_identity", qe={"isv_prod_id": 1})
framed("QE below every level", "attest.dcap_qe_identity", qe={"isv_svn": 1})
framed("out-of-date QE", "attest.dcap_tcb_status", qe={"isv_svn": 3})
framed(
    "QE in debug mode",
    "attest.dcap_qe_identity",
    qe={"attributes": bytes.fromhex("1700000000000000e700000000000000")},
)
framed("QE with MISCSELECT", "attest.dcap_qe_identity", qe={"misc_select": 1})
framed(
    "QE without its attributes",
    "attest.dcap_qe_identity",
    qe={"attributes": bytes.fromhex("0500000000000000e700000000000000")},
)
framed("QE auth data of another length", "attest.dcap_refused", qe_auth=bytes(31))
case(
    "QE report data that goes on after the binding",
    "attest.dcap_attestation_key",
    lambda: intel.tdx(
        qe={
            "report_data": hashlib.sha256(
                intel.raw_public("attestation key") + bytes(range(32))
            ).digest()
            + bytes([1] * 32)
        }
    ),
)

# certificates
framed("expired PCK", "attest.dcap_certificate_expired", pck={"not_after": NOW - 1})
framed("PCK not valid yet", "attest.dcap_certificate_early", pck={"not_before": NOW + 1})
framed("PCK signed by an attacker", "attest.dcap_chain_signature", pck={"issuer_key": "attacker"})
framed("no certificates", "attest.dcap_chain_encoding", chain_text=b"")
framed(
    "unparseable certificates",
    "attest.dcap_chain_encoding",
    chain_text=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 3,
)


def _attackers_chain() -> tuple[Any, ...]:
    keys = {"subject_key": "attacker root", "issuer_key": "attacker root"}
    root = intel.certificate(ROOT, ROOT, ca=1, **keys)
    authority = intel.certificate(PCK_CA, ROOT, ca=0, issuer_key="attacker root")
    return intel.Quote().pck_chain()[0], authority, root


def _swapped() -> tuple[Any, ...]:
    leaf, _authority, root = intel.Quote().pck_chain()
    return leaf, root, root


case("a whole fake chain", "attest.dcap_root", lambda: intel.tdx(certificates=_attackers_chain()))
case(
    "a chain without its CA", "attest.dcap_chain_names", lambda: intel.tdx(certificates=_swapped())
)
case(
    "a chain of two",
    "attest.dcap_chain_encoding",
    lambda: intel.tdx(certificates=intel.Quote().pck_chain()[:2]),
)
case(
    "TCB signing key as PCK",
    "attest.dcap_chain_names",
    lambda: intel.tdx(
        certificates=(intel.certificate(SIGNING, ROOT), *intel.Quote().pck_chain()[1:])
    ),
)

# collateral
gathered("no collateral", "attest.dcap_collateral_missing", lambda: None)  # type: ignore[arg-type,return-value]
gathered("empty collateral", "attest.dcap_collateral_malformed", dict)
gathered(
    "unknown field",
    "attest.dcap_collateral_malformed",
    lambda: intel.collateral(pck_certificate_chain=b""),
)
gathered(
    "unparseable revocation list",
    "attest.dcap_collateral_malformed",
    lambda: intel.collateral(pck_crl=b"0"),
)
gathered(
    "short signature",
    "attest.dcap_collateral_malformed",
    lambda: intel.collateral(tcb_info_signature=b"0"),
)
gathered(
    "field that stands twice",
    "attest.dcap_collateral_malformed",
    lambda: intel.collateral(info=intel.tcb_info().replace("{", '{"id":"SGX",', 1)),
)
gathered(
    "expired TCB info",
    "attest.dcap_collateral_expired",
    lambda: intel.collateral(info=intel.tcb_info(nextUpdate=intel.stamp(NOW - 1))),
)
gathered(
    "TCB info of tomorrow",
    "attest.dcap_collateral_early",
    lambda: intel.collateral(info=intel.tcb_info(issueDate=intel.stamp(NOW + 1))),
)
gathered(
    "expired QE identity",
    "attest.dcap_collateral_expired",
    lambda: intel.collateral(identity=intel.qe_identity(nextUpdate=intel.stamp(NOW - 1))),
)
gathered(
    "expired PCK revocation list",
    "attest.dcap_collateral_expired",
    lambda: intel.collateral(pck_crl=intel.revocations(PCK_CA, until=NOW - 1)),
)
gathered(
    "expired root revocation list",
    "attest.dcap_collateral_expired",
    lambda: intel.collateral(root_ca_crl=intel.revocations(ROOT, until=NOW - 1)),
)
gathered(
    "revocation list of tomorrow",
    "attest.dcap_collateral_early",
    lambda: intel.collateral(pck_crl=intel.revocations(PCK_CA, issued=NOW + 1)),
)
gathered(
    "TCB info for SGX",
    "attest.dcap_collateral_kind",
    lambda: intel.collateral(info=intel.tcb_info("SGX")),
)
gathered(
    "QE identity for SGX",
    "attest.dcap_collateral_kind",
    lambda: intel.collateral(identity=intel.qe_identity("SGX")),
)
gathered(
    "TCB info version 2",
    "attest.dcap_collateral_kind",
    lambda: intel.collateral(info=intel.tcb_info(version=2)),
)
gathered(
    "TCB info of another PCE",
    "attest.dcap_collateral_platform",
    lambda: intel.collateral(info=intel.tcb_info(pceId="0001")),
)
gathered(
    "TCB info with a bad signature",
    "attest.dcap_tcb_info_signature",
    lambda: intel.collateral(tcb_info_signature=b"\1" * 64),
)
gathered(
    "QE identity with a bad signature",
    "attest.dcap_qe_identity_signature",
    lambda: intel.collateral(qe_identity_signature=b"\1" * 64),
)
gathered(
    "module of another signer in the TCB info",
    "attest.dcap_module",
    lambda: intel.collateral(
        info=intel.tcb_info(
            tdxModuleIdentities=[
                {
                    "id": "TDX_01",
                    "mrsigner": "01" * 48,
                    "attributes": "00" * 8,
                    "attributesMask": "FF" * 8,
                    "tcbLevels": [
                        {
                            "tcb": {"isvsvn": 5},
                            "tcbDate": intel.stamp(NOW),
                            "tcbStatus": "UpToDate",
                        }
                    ],
                }
            ]
        )
    ),
)
gathered(
    "revoked PCK",
    "attest.dcap_revoked",
    lambda: intel.collateral(
        pck_crl=intel.revocations(PCK_CA, (intel.Quote().pck_chain()[0].serial_number,))
    ),
)
gathered(
    "revoked PCK CA",
    "attest.dcap_revoked",
    lambda: intel.collateral(
        root_ca_crl=intel.revocations(ROOT, (intel.Quote().pck_chain()[1].serial_number,))
    ),
)
gathered(
    "revoked TCB signer",
    "attest.dcap_revoked",
    lambda: intel.collateral(
        root_ca_crl=intel.revocations(ROOT, (intel.certificate(SIGNING, ROOT).serial_number,))
    ),
)
gathered(
    "revocation list signed by an attacker",
    "attest.dcap_chain_signature",
    lambda: intel.collateral(pck_crl=intel.revocations(PCK_CA, issuer_key="attacker")),
)
gathered(
    "revocation list with another CA beside it",
    "attest.dcap_crl_issuer",
    lambda: intel.collateral(
        pck_crl_issuer_chain=intel.chain(
            intel.certificate(PCK_CA, ROOT, ca=0, serial=99), intel.root_certificate()
        )
    ),
)


def _issuer(name: str = SIGNING, **changes: Any) -> dict[str, bytes]:
    text = intel.chain(intel.certificate(name, ROOT, **changes), intel.root_certificate())
    return intel.collateral(tcb_info_issuer_chain=text)


gathered(
    "expired TCB signer", "attest.dcap_certificate_expired", lambda: _issuer(not_after=NOW - 1)
)
gathered(
    "TCB signer of tomorrow", "attest.dcap_certificate_early", lambda: _issuer(not_before=NOW + 1)
)
gathered(
    "TCB signer by an attacker",
    "attest.dcap_chain_signature",
    lambda: _issuer(issuer_key="attacker"),
)
gathered(
    "collateral under another root",
    "attest.dcap_root",
    lambda: intel.collateral(
        qe_identity_issuer_chain=intel.chain(
            intel.certificate(SIGNING, ROOT), intel.certificate(ROOT, ROOT, ca=1, serial=5)
        )
    ),
)
gathered(
    "TCB info signed by a genuine PCK",
    "attest.dcap_chain_names",
    lambda: intel.collateral(
        tcb_info_issuer_chain=intel.chain(intel.Quote().pck_chain()[0], intel.root_certificate()),
        tcb_info_signature=intel.sign(PCK, intel.tcb_info().encode()),
    ),
)


@pytest.mark.parametrize("name", CASES)
def test_refused_with_its_code(name: str) -> None:
    code, quote, wanted, more = CASES[name]()
    with refused(code):
        check_td(quote, wanted, **more)


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len(CASES) >= 38
    assert len({CASES[name]()[0] for name in CASES}) >= 38


@pytest.mark.parametrize("version", [4, 5])
def test_the_good_quote_is_accepted(version: int) -> None:
    values = Td()
    wanted = td(
        mrtd=frozenset({values.mr_td.hex()}),
        rtmr0=frozenset({values.rtmr[0].hex()}),
        rtmr1=frozenset({values.rtmr[1].hex()}),
        rtmr2=frozenset({values.rtmr[2].hex()}),
        rtmr3=frozenset({values.rtmr[3].hex()}),
        mrseam=frozenset({values.mr_seam.hex()}),
        mrconfigid=frozenset({values.mr_config_id.hex()}),
        mrowner=frozenset({values.mr_owner.hex()}),
        mrownerconfig=frozenset({values.mr_owner_config.hex()}),
        xfam=frozenset({values.xfam}),
        minimum_tee_tcb_svn="050103",
        platform=platform(platforms=frozenset({intel.INSTANCE.hex()}), minimum_evaluation=18),
    )
    facts = check_td(intel.tdx(version=version), wanted)
    assert facts.measurements["mrtd"] == values.mr_td.hex()
    assert facts.measurements["rtmr3"] == values.rtmr[3].hex()
    assert facts.report_data == DATA
    assert (facts.tcb["status"], facts.tcb["evaluation"]) == ("UpToDate", 18)
    assert facts.chip == intel.INSTANCE.hex()
    assert facts.assurance == "HARDWARE"
    assert not facts.debug
    assert len(facts.certificates) == 5
    assert facts.claims["not_compared"] == ()
    left = check_td(intel.tdx(), td(report_data="", any_report_data=True)).claims["not_compared"]
    assert {"report_data", "mrtd", "rtmr3"} <= set(left)  # type: ignore[arg-type]


def test_what_an_owner_may_allow_is_allowed() -> None:
    """The positive controls of cases above: the same quote passes where the owner says so."""
    monitored = intel.tdx(Td(attributes=SEPT_VE_DISABLE | PKS | 1 << 63))
    assert check_td(monitored, td(optional_attributes=PKS | 1 << 63)).claims["attributes"]
    old = intel.tdx(Td(tee_tcb_svn=OLD))
    lenient = platform(statuses=frozenset({"UpToDate", "OutOfDate"}), tcb_grace=500 * intel.DAY)
    facts = check_td(old, td(platform=lenient))
    assert facts.tcb["status"] == "OutOfDate"
    assert facts.claims["advisories"] == ("INTEL-SA-00001",)
    quiet = replace(intel.Platform(), smt=False, dynamic=False, cached=False)
    strict = platform(allow_smt=False, allow_dynamic=False, allow_cached_keys=False)
    assert check_td(intel.tdx(platform=quiet), td(platform=strict)).claims["smt"] == "False"


def test_padding_of_zeros_is_the_same_quote() -> None:
    padded = check_td(intel.tdx(padding=bytes(3000)))
    assert replace(padded, checks=()) == replace(check_td(intel.tdx()), checks=())


def test_without_report_data_the_caller_gets_it_to_compare() -> None:
    assert check_td(intel.tdx(), td(report_data="", any_report_data=True)).report_data == DATA


def test_a_platform_without_instance_id_is_named_by_its_ppid() -> None:
    nameless = intel.tdx(platform=replace(intel.Platform(), instance=None))
    assert check_td(nameless).chip == intel.PPID.hex()
