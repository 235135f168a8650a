"""The semantic matrix: evidence that is wrong in one way is refused with that way's code."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.reasons import REASONS
from tests.attest.simulated import nvidia as sim

from .world import (
    PARTIES,
    RIM_CHAIN,
    RIMS,
    ROOTS,
    UPPER,
    bromed,
    fields,
    gpu,
    judge,
    leafed,
    rim,
    switch,
    without,
)

PAST = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
SOON = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
OTHER = ec.generate_private_key(ec.SECP384R1())


def edited(at: int, value: bytes) -> DeviceEvidence:
    """A good GPU's report, with bytes replaced after it was signed."""
    report = bytearray(gpu().report)
    report[at : at + len(value)] = value
    return DeviceEvidence("HOPPER", bytes(report), gpu().pem)


def cut(sample: sim.Sample, end: int) -> DeviceEvidence:
    return DeviceEvidence(sample.architecture, sample.report[:end], sample.pem)


def chained(*chain: sim.Party) -> DeviceEvidence:
    return DeviceEvidence("HOPPER", gpu().report, b"".join(entry.pem for entry in chain))


def fake_chain() -> sim.Sample:
    root = sim.issue("Simulated Device Identity CA", None)
    identity = sim.issue("Simulated GH100 Identity", root)
    provisioner = sim.issue("Simulated GH100 Provisioner ICA 1", identity)
    brom = sim.issue("GH100 A01 GSP BROM", provisioner, serial="41AA")
    return leafed(gpu(chain=(brom, provisioner, identity, root)))


def short_path() -> sim.Sample:
    """The provisioner may sign only end entities, yet the boot ROM's certificate signs too."""
    narrow = sim.issue(
        "Simulated GH100 Provisioner ICA 1", UPPER[1], key=UPPER[0].key, path_length=0
    )
    return gpu(chain=(PARTIES["gpu0_brom"], narrow, *UPPER[1:]))


def pem_of(body: str) -> DeviceEvidence:
    text = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    return DeviceEvidence("HOPPER", gpu().report, text.encode())


P256 = ec.generate_private_key(ec.SECP256R1())
BLOCK_21 = (*sim.BLOCKS[:21], sim.digest_of("other"), *sim.BLOCKS[22:])
BLOCK_9 = (*sim.BLOCKS[:9], sim.digest_of("other"), *sim.BLOCKS[10:])
ZERO_PDI = {22: bytes(16)}
STRANGER = {26: bytes.fromhex("d1a9a24f202c0001d1a9a24f202c0009d1a9a24f202c000a")}

DEVICE: dict[str, tuple[str, Callable[[], sim.Sample | DeviceEvidence]]] = {
    "empty report": ("request", lambda: cut(gpu(), 0)),
    "request alone": ("response", lambda: cut(gpu(), 37)),
    "request of SPDM 1.2": ("request", lambda: gpu(head=bytes.fromhex("12e001ff"))),
    "request without signature": ("request", lambda: gpu(head=bytes.fromhex("11e000ff"))),
    "request for one block": ("request", lambda: gpu(head=bytes.fromhex("11e00101"))),
    "another certificate slot": ("request", lambda: gpu(slot=b"\1")),
    "error response": ("response", lambda: gpu(answer=bytes.fromhex("117f0000"))),
    "response parameters": ("response", lambda: gpu(answer=bytes.fromhex("11600001"))),
    "block numbers shifted": ("blocks", lambda: gpu(first=2)),
    "raw measurement": ("blocks", lambda: gpu(block_head=bytes.fromhex("013300813000"))),
    "no block": ("blocks", lambda: gpu(blocks=())),
    "63 blocks": ("blocks", lambda: gpu(blocks=sim.BLOCKS[:63])),
    "opaque field twice": ("opaque", lambda: gpu(extra_opaque=b"\x14\0\x01\0A")),
    "opaque field overruns": ("opaque", lambda: gpu(extra_opaque=b"\x99\0\x02\0A")),
    "opaque head cut": ("opaque", lambda: gpu(extra_opaque=b"\x99\0\x01")),
    "trailing byte": ("trailing", lambda: gpu(tail=b"\0")),
    "signature cut": ("trailing", lambda: cut(gpu(), -1)),
    "replayed nonce": ("nonce", lambda: gpu(nonce=bytes(32))),
    "nonce changed after signing": ("signature", lambda: edited(4, b"\0")),
    "measurement changed after signing": ("signature", lambda: edited(60, b"\0\1")),
    "signed by another key": ("signature", lambda: gpu(signer=OTHER)),
    "zero signature": (
        "signature",
        lambda: DeviceEvidence("HOPPER", gpu().unsigned + bytes(96), gpu().pem),
    ),
    "report of another GPU": (
        "signature",
        lambda: DeviceEvidence("HOPPER", gpu().report, gpu(1).pem),
    ),
    "certificate that is no certificate": ("certificate", lambda: pem_of("AAAA")),
    "certificate in loose base64": ("certificate", lambda: pem_of("AB==")),
    "text before the certificates": (
        "certificate",
        lambda: DeviceEvidence("HOPPER", gpu().report, b"x" + gpu().pem),
    ),
    "no certificates": ("certificate", lambda: DeviceEvidence("HOPPER", gpu().report, b"")),
    "leaf on P-256": ("certificate", lambda: leafed(gpu(), key=P256)),
    "leaf signed with SHA-256": (
        "certificate",
        lambda: leafed(gpu(), algorithm=hashes.SHA256()),
    ),
    "whole fake chain": ("root", fake_chain),
    "chain ends before the root": (
        "root",
        lambda: chained(gpu().leaf, *gpu().chain[:-1]),
    ),
    "leaf under the provisioner": (
        "chain_length",
        lambda: leafed(gpu(chain=UPPER), issuer=UPPER[0]),
    ),
    "issuer of another name": (
        "chain_names",
        lambda: leafed(gpu(), issuer_name=UPPER[0].certificate.subject),
    ),
    "leaf signed by an attacker": (
        "chain_signature",
        lambda: leafed(gpu(), issuer=sim.Party(OTHER, gpu().chain[0].certificate)),
    ),
    "boot ROM no authority": (
        "authority",
        lambda: bromed(gpu(), authority=False, usages=("key_cert_sign",)),
    ),
    "boot ROM may not issue": ("authority", lambda: bromed(gpu(), usages=("crl_sign",))),
    "path length exceeded": ("authority", short_path),
    "leaf is an authority": (
        "signer",
        lambda: leafed(gpu(), authority=True, usages=("digital_signature",)),
    ),
    "leaf may not sign": ("signer", lambda: leafed(gpu(), usages=("key_agreement",))),
    "unknown critical extension": (
        "critical",
        lambda: leafed(gpu(), critical=(("1.2.3.4", b"\5\0"),)),
    ),
    "leaf expired": ("validity", lambda: leafed(gpu(), end=PAST)),
    "leaf not valid yet": ("validity", lambda: leafed(gpu(), begin=SOON)),
    "boot ROM expired": ("validity", lambda: bromed(gpu(), end=PAST)),
    "unknown chip": ("chip", lambda: leafed(gpu(), common_name="GX999 A01 GSP FMC LF")),
    "leaf of another purpose": ("chip", lambda: leafed(gpu(), common_name="GH100 A01 GSP")),
    "claims to be Blackwell": ("architecture", lambda: gpu(architecture="BLACKWELL")),
    "leaf without firmware identity": ("tcb_info", lambda: leafed(gpu(), extensions=())),
    "firmware identity malformed": (
        "tcb_info",
        lambda: leafed(gpu(), extensions=((sim.TCB_INFO, b"\x30\x02\x80\x01"),)),
    ),
    "firmware identity too short": (
        "tcb_info",
        lambda: leafed(gpu(), extensions=(sim.tcb_info(sim.FWID[:32]),)),
    ),
    "debug firmware": (
        "debug_firmware",
        lambda: leafed(gpu(), extensions=(sim.tcb_info(sim.FWID, 0x90000001),)),
    ),
    "insecure firmware": (
        "debug_firmware",
        lambda: leafed(gpu(), extensions=(sim.tcb_info(sim.FWID, 0xC0000001),)),
    ),
    "report without firmware identity": ("fwid_missing", lambda: without(gpu(), 20)),
    "other firmware reports": ("fwid", lambda: fields(gpu(), {20: sim.digest_of("x")})),
    "no driver version": ("field", lambda: without(gpu(), 3)),
    "driver version with markup": ("field", lambda: fields(gpu(), {3: b"570.1<\0"})),
    "no VBIOS version": ("field", lambda: without(gpu(), 6)),
    "NVDEC0 neither on nor off": ("field", lambda: fields(gpu(), {11: b"\0"})),
    "firmware identity of other length": ("field", lambda: fields(gpu(), {20: b"x"})),
    "switch ids misframed": ("field", lambda: fields(gpu(), {22: b"123456789"})),
    "protected PCIe both on and off": (
        "mode_conflict",
        lambda: fields(gpu(), {36: b"\2\0"}),
    ),
    "unknown mode": ("mode_conflict", lambda: fields(gpu(), {36: b"\7\0"})),
    "unknown protected PCIe state": ("mode_conflict", lambda: fields(gpu(), {21: b"\1"})),
    "mode not said": ("mode", lambda: without(gpu(), 21, 36)),
    "measurement of the driver": ("measurement", lambda: gpu(blocks=BLOCK_21)),
    "measurement of the VBIOS": ("measurement", lambda: gpu(blocks=BLOCK_9)),
    "index 35 while NVDEC0 is on": ("measurement", lambda: fields(gpu(), {11: b"\xaa"})),
    "driver that no manifest describes": (
        "driver_rim",
        lambda: fields(gpu(), {3: b"570.124.07\0"}),
    ),
    "VBIOS that no manifest describes": (
        "vbios_rim",
        lambda: fields(gpu(), {6: bytes.fromhex("007400961b000000")}),
    ),
}


@pytest.mark.parametrize("name", DEVICE)
def test_a_device_that_is_wrong_in_one_way_is_refused_for_it(name: str) -> None:
    code, make = DEVICE[name]
    with pytest.raises(EvidenceRefused) as refused:
        judge(make())
    assert refused.value.code == f"attest.nvidia_{code}"


def serial(party: sim.Party) -> str:
    return hashlib.sha256(party.certificate.public_bytes(sim.DER)).hexdigest()


CHOICES: dict[str, tuple[str, Callable[[], object]]] = {
    "chip not allowed": ("product", lambda: judge(gpu(), chips=frozenset({"GB100"}))),
    "mode not allowed": ("mode", lambda: judge(gpu(), modes=frozenset({"ppcie"}))),
    "driver not allowed": (
        "driver_version",
        lambda: judge(gpu(), driver_versions=frozenset({"570.86.15"})),
    ),
    "VBIOS not allowed": (
        "vbios_version",
        lambda: judge(gpu(), vbios_versions=frozenset({"96.00.74.00.1B"})),
    ),
    "boot ROM revoked": (
        "revoked",
        lambda: judge(gpu(), revoked=frozenset({serial(gpu().chain[0])})),
    ),
    "manifest's signer revoked": (
        "revoked",
        lambda: judge(gpu(), revoked=frozenset({serial(PARTIES["rim_signer"])})),
    ),
    "device not listed": ("device", lambda: judge(gpu(), devices=frozenset({"41"}))),
    "no driver manifest": ("driver_rim", lambda: judge(gpu(), rims=RIMS[1:])),
    "no VBIOS manifest": ("vbios_rim", lambda: judge(gpu(), rims=RIMS[:1])),
    "manifest twice": ("rim_duplicate", lambda: judge(gpu(), rims=(*RIMS, RIMS[0]))),
    "manifests overlap": (
        "rim_conflict",
        lambda: judge(gpu(), rims=(rim("driver", active={9: (sim.BLOCKS[9],)}), *RIMS[1:])),
    ),
    "manifest expired": (
        "validity",
        lambda: judge(gpu(), rims=(rim(signer=expired_signer()), *RIMS[1:])),
    ),
    "another device root": (
        "root",
        lambda: judge(gpu(), roots=type(ROOTS)(rim=ROOTS.rim)),
    ),
    "two GPUs for one": ("count", lambda: judge(gpu(), gpu(1), count=1)),
    "one GPU for two": ("count", lambda: judge(gpu(), count=2)),
    "no GPU": ("count", lambda: judge()),
    "only switches": ("count", lambda: judge(switch())),
    "one GPU twice": ("duplicate", lambda: judge(gpu(), gpu())),
    "GPU without an id": ("duplicate", lambda: judge(bromed(gpu(), serial=""))),
    "modes mixed": ("mixed", lambda: judge(gpu(), gpu(1, ppcie=True))),
    "protected PCIe without switches": (
        "switches_missing",
        lambda: judge(gpu(0, True), gpu(1, True)),
    ),
    "one switch of two": (
        "switches_missing",
        lambda: judge(gpu(0, True), gpu(1, True), switch(0)),
    ),
    "GPU on another switch": (
        "switches_missing",
        lambda: judge(fields(gpu(0, True), ZERO_PDI), gpu(1, True), switch(0), switch(1)),
    ),
    "switch that connects a third GPU": (
        "switch_topology",
        lambda: judge(gpu(0, True), gpu(1, True), switch(0), fields(switch(1), STRANGER)),
    ),
    "one GPU of two behind the switches": (
        "switch_topology",
        lambda: judge(gpu(0, True), switch(0), switch(1)),
    ),
    "switch without its id": (
        "field",
        lambda: judge(gpu(0, True), gpu(1, True), without(switch(0), 22), switch(1)),
    ),
    "switch measurement": (
        "measurement",
        lambda: judge(gpu(0, True), gpu(1, True), switch(0, blocks=BLOCK_9[:31]), switch(1)),
    ),
    "switch without a manifest": (
        "vbios_rim",
        lambda: judge(gpu(0, True), gpu(1, True), switch(0), switch(1), rims=RIMS[:2]),
    ),
    "switch nonce replayed": (
        "nonce",
        lambda: judge(gpu(0, True), gpu(1, True), switch(0, nonce=bytes(32)), switch(1)),
    ),
}


def expired_signer() -> sim.Party:
    return sim.issue("Simulated RIM L4 Signer", RIM_CHAIN[0], authority=False, end=PAST)


@pytest.mark.parametrize("name", CHOICES)
def test_what_the_owner_did_not_choose_is_refused(name: str) -> None:
    code, attempt = CHOICES[name]
    with pytest.raises(EvidenceRefused) as refused:
        attempt()
    assert refused.value.code == f"attest.nvidia_{code}"


def test_every_code_of_a_device_and_a_fleet_is_met() -> None:
    met = {f"attest.nvidia_{code}" for code, _ in (*DEVICE.values(), *CHOICES.values())}
    elsewhere = {code for code in REASONS if "_rim_" in code} | {"attest.nvidia_evidence"}
    assert set(REASONS) - elsewhere - met == set()
