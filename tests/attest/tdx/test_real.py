"""Genuine TDX quotes: accepted or refused as they deserve."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from strongroom.attest.bundle import Bundle
from strongroom.attest.dcap.collateral import from_json
from strongroom.attest.interface import Facts
from strongroom.attest.registry import verify_bundle
from strongroom.attest.tdx import body, eventlog
from strongroom.attest.tdx.verify import verify
from tests.attest.dcap.second import genuine
from tests.attest.dcap.support import (
    DATA,
    REAL_2025,
    REAL_2026,
    blob,
    pieces,
    platform,
    real,
    refused,
    td,
)

pytestmark = real
ANY = {"report_data": "", "any_report_data": True}


def check(quote: bytes, collateral: str = "", now: int = REAL_2025, **changes: Any) -> Facts:
    gathered = pieces(f"tdx/{collateral}") if collateral else None
    return verify(quote, now=now, collateral=gathered, expectations=td(**ANY), **changes)


def dstack() -> tuple[bytes, bytes]:
    capture = json.loads(blob("tdx/dstack_quote_eventlog_2026.json"))
    return bytes.fromhex(capture["quote"]), capture["event_log"].encode()


def test_a_genuine_quote_is_accepted_with_its_collateral() -> None:
    facts = check(blob("tdx/v4_quote.bin"), "v4_collateral.json")
    assert facts.measurements["mrtd"].startswith("91eb2b44d141d4ec")
    assert facts.measurements["rtmr2"].startswith("d833feef2cd94514")
    assert (facts.tcb["status"], facts.tcb["evaluation"]) == ("UpToDate", 17)
    assert facts.claims["fmspc"] == "b0c06f000000"
    assert facts.chip == "078284" + "74603e7019dc930775ffe8cdd2"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("v4_trailing_text.dat", "attest.dcap_trailing"),
        ("v4_debug_td.dat", "attest.tdx_debug"),
        ("v5_td15_service_td.dat", "attest.tdx_service_td"),
        ("azure_td_quote.bin", "attest.tdx_sept_ve_disable"),
        ("gcp_cos_quote.dat", "attest.dcap_collateral_missing"),
    ],
)
def test_refused_for_what_it_is(name: str, code: str) -> None:
    with refused(code):
        check(blob(f"tdx/{name}"))


def test_a_quote_below_every_tcb_level_is_refused() -> None:
    with refused("attest.dcap_tcb_level"):
        check(blob("tdx/v5_outdated.bin"), "v5_outdated_collateral.json", REAL_2026)


def test_collateral_of_other_platforms_does_not_serve() -> None:
    with refused("attest.dcap_collateral_platform"):
        check(blob("tdx/gcp_cos_quote.dat"), "v4_collateral.json")


@pytest.mark.parametrize(
    ("days", "code"),
    [(-30, "attest.dcap_collateral_early"), (30, "attest.dcap_collateral_expired")],
)
def test_collateral_serves_only_while_it_is_valid(days: int, code: str) -> None:
    with refused(code):
        check(blob("tdx/v4_quote.bin"), "v4_collateral.json", REAL_2025 + days * 86_400)


def test_the_default_expectations_do_not_accept_a_server_unasked() -> None:
    bundle = Bundle(
        kind="tdx",
        evidence={"quote": blob("tdx/v4_quote.bin")},
        collateral=pieces("tdx/v4_collateral.json"),
    )
    with refused("attest.dcap_dynamic"):
        verify_bundle(bundle, now=REAL_2025, expectations={})
    server = {"allow_smt": True, "allow_dynamic": True, "allow_cached_keys": True}
    with refused("attest.tdx_report_data"):
        verify_bundle(bundle, now=REAL_2025, expectations={"tdx": {"platform": server}})
    chosen = {"tdx": {"platform": server, "any_report_data": True}}
    (facts,) = verify_bundle(bundle, now=REAL_2025, expectations=chosen)
    assert facts.kind == "tdx"
    with refused("attest.bundle_parts"):
        verify_bundle(Bundle(kind="tdx", evidence={}), now=REAL_2025, expectations=chosen)


@pytest.mark.parametrize(
    "name",
    [
        "v4_quote.bin",
        "v5_outdated.bin",
        "v4_trailing_text.dat",
        "v5_td15_service_td.dat",
        "gcp_cos_quote.dat",
        "v4_debug_td.dat",
        "azure_td_quote.bin",
    ],
)
def test_a_second_reader_finds_every_signature_genuine(name: str) -> None:
    """So what is refused above is refused for what it says, not for how it is signed."""
    assert genuine(blob(f"tdx/{name}"), blob("tdx/intel_sgx_root_ca.der"))


def test_the_second_reader_can_say_no() -> None:
    quote = bytearray(blob("tdx/v4_quote.bin"))
    quote[200] ^= 1
    assert not genuine(bytes(quote), blob("tdx/intel_sgx_root_ca.der"))


def test_the_azure_capture_holds_the_same_quote() -> None:
    capture = json.loads(blob("tdx/azure_tdx_vtpm.json"))
    quote = base64.urlsafe_b64decode(capture["td_quote"] + "==")
    assert quote == blob("tdx/azure_td_quote.bin")
    with refused("attest.tdx_sept_ve_disable"):
        check(quote)


def test_dstack_event_log_replays_to_the_quote() -> None:
    quote, log = dstack()
    events = eventlog.read(log)
    assert eventlog.replay(events) == body.parse(quote[48:632]).rtmrs
    assert len(events) == 29
    altered = log.replace(b"compose-hash", b"compose-hasj")
    assert eventlog.replay(eventlog.read(altered)) != body.parse(quote[48:632]).rtmrs
    with refused("attest.dcap_collateral_missing"):
        check(quote, now=REAL_2026 + 90 * 86_400, event_log=log)


def test_a_real_ccel_is_read_to_its_end() -> None:
    log = blob("tdx/ccel_data.bin")
    events = eventlog.read(log)
    assert [event.register for event in events] == [0, 0, 1, 1, 1]
    assert eventlog.replay(events)[2:] == (bytes(48), bytes(48))
    with refused("attest.tdx_event_log"):
        eventlog.read(log[:-1] + b"\1")


def test_gcp_padding_and_report_data_are_as_captured() -> None:
    quote = blob("tdx/gcp_cos_quote.dat")
    assert len(quote) == 8000
    assert body.parse(quote[48:632]).report_data == blob("tdx/gcp_cos_nonce.dat")


def test_collateral_parts_are_what_the_json_holds() -> None:
    parts = from_json(blob("tdx/v4_collateral.json"))
    assert parts["tcb_info"].startswith(b'{"id":"TDX","version":3')
    assert len(parts["tcb_info_signature"]) == 64
    with refused("attest.dcap_collateral_malformed"):
        from_json(b'{"pck_crl":"zz"}')
    assert (
        replace(check(blob("tdx/v4_quote.bin"), "v4_collateral.json"), checks=()).report_data
        != DATA
    )


def test_an_old_tcb_evaluation_can_be_refused() -> None:
    wanted = td(**ANY, platform=platform(minimum_evaluation=18))
    with refused("attest.dcap_tcb_evaluation"):
        verify(
            blob("tdx/v4_quote.bin"),
            now=REAL_2025,
            collateral=pieces("tdx/v4_collateral.json"),
            expectations=wanted,
        )
