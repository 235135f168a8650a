"""Alter each byte of GPU and TPM evidence once: refused, or proven to say the same.

Certificates are altered in DER and written in canonical PEM again. Where an altered byte is
accepted, ``same`` must prove that nothing which counts changed: the same DER certificates behind
other white space in PEM, the same canonical XML, the same extensions in an event log (whose SHA-1
digests, event types and free texts no SHA-256 PCR vouches for). The tests run a part; all of it::

    PYTHONPATH=. python fuzz/attest_flips.py
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from cryptography import x509
from lxml import etree

from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import Checks
from strongroom.attest.nvidia import rim as rims
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.evidence import read_devices, read_hex
from strongroom.attest.nvidia.expectations import RIM_ROOT, Expectations
from strongroom.attest.nvidia.verify import Evidence, verify
from strongroom.attest.tpm import eventlog, quote
from strongroom.attest.tpm.ak import AttestationKey
from strongroom.attest.tpm.bundled import verify_bundle
from strongroom.attest.tpm.expectations import Expectations as TpmExpectations
from strongroom.attest.tpm.reasons import REASONS
from strongroom.errors import AttestationRefused
from tests.attest.nvidia import world as nv
from tests.attest.simulated import nvidia as sim_nv
from tests.attest.simulated import tpm as sim_tpm
from tests.attest.tpm import world as tpm

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "attestation"
NOW = 1_740_000_000
LOOSE = Expectations(
    any_nonce=False,
    driver_rim=False,
    vbios_rim=False,
    missing_fwid=True,
    unattested_switches=True,
    modes=frozenset({"mpt", "spt", "ppcie", "unknown"}),
)


def never(data: bytes) -> bool:
    """Nothing but the original says the same."""
    return False


@dataclass(frozen=True)
class Target:
    """Bytes to alter, what judges them, and what proves that an alteration means nothing."""

    name: str
    data: bytes
    judge: Callable[[bytes], object]
    same: Callable[[bytes], bool] = never


@dataclass(frozen=True)
class Result:
    """How many alterations were refused, said the same, or were wrongly accepted (where)."""

    refused: int
    same: int
    wrong: tuple[int, ...]


def alter(target: Target, step: int = 1, start: int = 0) -> Result:
    """Alter every ``step``-th byte in one bit, which moves on with the position."""
    refused, same, wrong = 0, 0, []
    for at in range(start % step, len(target.data), step):
        altered = bytearray(target.data)
        altered[at] ^= 1 << at % 8
        try:
            target.judge(bytes(altered))
        except AttestationRefused:
            refused += 1
            continue
        if target.same(bytes(altered)):
            same += 1
        else:
            wrong.append(at)
    return Result(refused, same, tuple(wrong))


def certificates(pem: bytes) -> list[bytes]:
    return [one.public_bytes(sim_nv.DER) for one in x509.load_pem_x509_certificates(pem)]


def pem(chain: list[bytes]) -> bytes:
    blocks = (
        "-----BEGIN CERTIFICATE-----\n"
        + base64.encodebytes(one).decode()
        + "-----END CERTIFICATE-----\n"
        for one in chain
    )
    return "".join(blocks).encode()


def canonical(document: bytes) -> bytes:
    return etree.tostring(etree.fromstring(document), method="c14n")


def device(
    name: str, evidence: DeviceEvidence, judge: Callable[[DeviceEvidence], object]
) -> Iterator[Target]:
    """A device's report, its PEM text, and each of its certificates in DER."""
    chain = certificates(evidence.certificates)
    yield Target(f"{name} report", evidence.report, lambda d: judge(replace(evidence, report=d)))
    yield Target(
        f"{name} PEM",
        evidence.certificates,
        lambda d: judge(replace(evidence, certificates=d)),
        lambda d: certificates(d) == chain,
    )
    for number, one in enumerate(chain):

        def inside(data: bytes, number: int = number) -> object:
            text = pem([*chain[:number], data, *chain[number + 1 :]])
            return judge(replace(evidence, certificates=text))

        yield Target(f"{name} certificate {number}", one, inside)


def manifest(name: str, document: bytes, root: str) -> Target:
    whole = canonical(document)
    return Target(name, document, lambda d: rims.read(d, root), lambda d: canonical(d) == whole)


def nvidia_simulated() -> Iterator[Target]:
    sample = nv.gpu()
    evidence = DeviceEvidence("HOPPER", sample.report, sample.pem)
    yield from device("simulated H100", evidence, lambda entry: nv.judge(entry))
    yield manifest("simulated driver RIM", nv.RIMS[0], nv.ROOTS.rim)


def nvidia_real() -> Iterator[Target]:
    folder = REAL / "nvidia"
    found = {
        name: DeviceEvidence(
            "BLACKWELL" if name == "blackwell" else "HOPPER",
            read_hex((folder / f"{name}_report.txt").read_bytes()),
            (folder / f"{name}_certs.txt").read_bytes(),
        )
        for name in ("h100_coco", "h100_535", "blackwell")
    }
    for name, file in (("h100_ppcie", "h100_evidence"), ("ls10", "nvswitch_ls10_evidence")):
        found[name] = read_devices((folder / f"{file}.json").read_bytes())[0]
    for name, evidence in found.items():
        expectations = msgspec.structs.replace(
            LOOSE,
            nonce=evidence.report[4:36].hex(),
            count=0 if name == "ls10" else 1,
        )

        def judge(entry: DeviceEvidence, expectations: Expectations = expectations) -> object:
            return verify(Evidence((entry,)), now=NOW, expectations=expectations)

        yield from device(f"real {name}", evidence, judge)
    for file in ("rim_driver_550.144.03.xml", "rim_vbios_96005E0001_PROD.swidtag"):
        yield manifest(f"real {file}", (folder / file).read_bytes(), RIM_ROOT)


def tpm_simulated() -> Iterator[Target]:
    """By certificate with ECDSA and a log, and by credential with RSASSA."""
    for scheme, key in (("ECDSA", "ak"), ("RSASSA", "ak_rsa")):
        sample = sim_tpm.Sample(key=tpm.PARTIES[key].key, pcrs=sim_tpm.logged_pcrs())
        area = sim_tpm.public_area(sample.key)
        parts = {
            "message": sample.message,
            "signature": sample.signature,
            "pcrs": b"".join(value for _, value in sorted(sample.pcrs.items())),
            "log": sim_tpm.log(),
        }
        chosen = msgspec.structs.replace(tpm.STRICT, roots=tpm.ROOTS)
        chain = [tpm.PARTIES[key].der, *tpm.UPPER]
        if scheme == "RSASSA":
            parts |= {"ak_public": area, "answer": tpm.SECRET}
            chain[0] = tpm.PARTIES["ek"].der
            credential = msgspec.structs.replace(tpm.CREDENTIAL, ak_name=tpm.name_of(area).hex())
            chosen = msgspec.structs.replace(chosen, credential=credential)
        yield from _bundle(f"simulated TPM {scheme}", parts, chain, chosen)


def _bundle(
    name: str, parts: dict[str, bytes], chain: list[bytes], chosen: TpmExpectations
) -> Iterator[Target]:
    def judge(parts: dict[str, bytes], chain: list[bytes]) -> object:
        bundle = Bundle(kind="tpm", evidence=parts, certificates=tuple(chain))
        return verify_bundle(bundle, now=sim_tpm.NOW, expectations=chosen)

    extensions = _extensions(parts["log"])
    for part, content in parts.items():
        yield Target(
            f"{name} {part}",
            content,
            lambda data, part=part: judge(parts | {part: data}, chain),
            (lambda data: _extensions(data) == extensions) if part == "log" else never,
        )
    for number, one in enumerate(chain):
        yield Target(
            f"{name} certificate {number}",
            one,
            lambda data, number=number: judge(parts, [*chain[:number], data, *chain[number + 1 :]]),
        )


def _extensions(log: bytes) -> list[tuple[int, bytes]]:
    events = eventlog.read(log) or ()
    return [(event.pcr, event.digest) for event in events if event.type != eventlog.NO_ACTION]


def tpm_real() -> Iterator[Target]:
    given = json.loads((REAL / "tpm" / "trustee_tpm_evidence.json").read_bytes())
    inner = given["tpm_quote"]
    message, signature = (base64.b64decode(inner[part]) for part in ("message", "signature"))
    values = bytes.fromhex("".join(inner["pcrs"]))
    public = base64.b64decode(given["ak_public"])
    nonce = message[44:108].hex()
    chosen = TpmExpectations(nonce=nonce, selection=tuple(range(24)))

    def judge(message: bytes, signature: bytes, values: bytes) -> object:
        pcrs = {at // 32: values[at : at + 32] for at in range(0, len(values), 32)}
        made = quote.Quote(message, signature, pcrs)
        key = AttestationKey(public, "pinned", "")
        return quote.verify(made, key, Checks(REASONS), expectations=chosen)

    yield Target("real TPM message", message, lambda data: judge(data, signature, values))
    yield Target("real TPM signature", signature, lambda data: judge(message, data, values))
    yield Target("real TPM pcrs", values, lambda data: judge(message, signature, data))


def targets() -> list[Target]:
    """All of them; the real ones where the shared data lie beside the checkout."""
    real = [*nvidia_real(), *tpm_real()] if REAL.is_dir() else []
    return [*nvidia_simulated(), *tpm_simulated(), *real]
