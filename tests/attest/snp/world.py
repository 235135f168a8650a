"""Shared by the tests of SEV-SNP: the simulated AMD's pins, and genuine evidence."""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest

from strongroom.attest.certificates import read_pem
from strongroom.attest.interface import EvidenceRefused, Facts
from strongroom.attest.snp.expectations import Expectations, Tcb
from strongroom.attest.snp.verify import Evidence, verify
from tests.attest.simulated import amd

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "attestation" / "snp"
PINNED = amd.roots()


def expectations(product: str, **changes: Any) -> Expectations:
    """What the simulated owner expects: everything compared, the product named."""
    fields = amd.Fields(product)
    names = ("fmc", "bootloader", "tee", "snp", "microcode")
    tcb = amd.TCB[product]
    parts = [*tcb[:4], tcb[7]] if product == "Turin" else [0, tcb[0], tcb[1], tcb[6], tcb[7]]
    settings: dict[str, Any] = {
        "products": frozenset({product}),
        "report_data": fields.report_data.hex(),
        "measurements": frozenset({fields.measurement.hex()}),
        "host_data": fields.host_data.hex(),
        "chips": frozenset({amd.hwid(product).hex()}),
        "id_keys": frozenset({fields.id_key.hex()}),
        "minimum_guest_svn": 2,
        "minimum_tcb": {product: Tcb(**dict(zip(names, parts, strict=True)))},
        "require_platform": frozenset({"ecc", "rapl_disabled"}),
    }
    return Expectations(**{**settings, **changes})


def for_cloud(product: str, **changes: Any) -> Expectations:
    """What the owner expects of a report that a cloud's key signed."""
    settings: dict[str, Any] = {
        "signing_keys": frozenset({"VLEK"}),
        "vmpls": frozenset({1}),
        "csps": frozenset({amd.CSP}),
        "chips": None,
    }
    return expectations(product, **{**settings, **changes})


def judge(case: amd.Case, expected: Expectations, now: int = amd.NOW) -> Facts:
    evidence = Evidence(case.report, case.certificates, case.crls)
    return verify(evidence, now=now, expectations=expected, roots=PINNED)


def code_of(case: amd.Case, expected: Expectations, now: int = amd.NOW) -> str:
    """The code of the refusal; empty if there is none."""
    try:
        judge(case, expected, now)
    except EvidenceRefused as error:
        return error.code
    return ""


def genuine(name: str) -> bytes:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path.read_bytes()


def authorities(product: str, kind: str = "VCEK") -> tuple[bytes, bytes]:
    """AMD's own intermediate and root of a product."""
    ask, ark, asvk = read_pem(genuine(f"{product.lower()}_ask_ark_asvk.pem"))
    return (ask if kind == "VCEK" else asvk), ark


def leaf_of(text: str | bytes) -> bytes:
    """A certificate that stands first in PEM, or in URL-safe base64."""
    raw = text.encode() if isinstance(text, str) else text
    if b"BEGIN" in raw:
        return read_pem(raw)[0]
    return urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))


def from_fields(evidence: dict[str, Any]) -> bytes:
    """The 1184 bytes of a report that CoCo's agent wrote field by field."""
    r = evidence["attestation_report"]

    def tcb(part: dict[str, int]) -> bytes:
        return bytes([part["bootloader"], part["tee"], 0, 0, 0, 0, part["snp"], part["microcode"]])

    def build(part: dict[str, int]) -> bytes:
        return bytes([part["build"], part["minor"], part["major"], 0])

    body = struct.pack(
        "<IIQ16s16sII8sQII64s48s32s48s48s32s32s8s3B21x64s8s4s4s8s",
        r["version"], r["guest_svn"], r["policy"], bytes(r["family_id"]), bytes(r["image_id"]),
        r["vmpl"], r["sig_algo"], tcb(r["current_tcb"]), r["plat_info"], r["key_info"], 0,
        *(bytes(r[n]) for n in (
            "report_data", "measurement", "host_data", "id_key_digest", "author_key_digest",
            "report_id", "report_id_ma",
        )),
        tcb(r["reported_tcb"]), r["cpuid_fam_id"], r["cpuid_mod_id"], r["cpuid_step"],
        bytes(r["chip_id"]), tcb(r["committed_tcb"]), build(r["current"]), build(r["committed"]),
        tcb(r["launch_tcb"]),
    ).ljust(0x2A0, b"\0")  # fmt: skip
    return body + bytes(r["signature"]["r"]) + bytes(r["signature"]["s"]) + bytes(368)


def json_of(name: str) -> Any:
    return json.loads(genuine(name))
