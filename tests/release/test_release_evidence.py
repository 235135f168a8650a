"""Evidence of hardware on the native wire, under the simulated manufacturers' roots.

Each kind is accepted where it carries the binding, and refused with its own code where it carries
anything else. Numbers are rules of ``spec/release-v1.md``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from release_desk import Desk, code_of, make_desk
from release_desk import refusal as refused

from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.bundle import Bundle, decode, encode
from strongroom.attest.nitro import verify as nitro_verify
from strongroom.attest.nvidia import verify as nvidia_verify
from strongroom.attest.sgx import verify as sgx_verify
from strongroom.attest.snp.products import ROOTS
from strongroom.attest.tdx import verify as tdx_verify
from strongroom.errors import KeyRefused
from strongroom.keys.hpke import HpkeIdentity
from strongroom.release import binding, bound, judging
from strongroom.release.hardware import HardwareAttester
from strongroom.release.messages import Release, Runtime
from strongroom.release.policies.document import Allowed, Document, Image, template
from tests.attest.azure import test_azure as azure
from tests.attest.dcap import support as dcap
from tests.attest.nitro import support as nitro_support
from tests.attest.nvidia import world as nvidia
from tests.attest.simulated import amd, intel, nitro
from tests.attest.simulated import tpm as sim_tpm
from tests.attest.tpm import world as tpm

PLATFORM = {"allow_smt": True, "allow_dynamic": True, "allow_cached_keys": True}
AK = sim_tpm.spki(tpm.AK)


def snp(data: bytes) -> Bundle:
    case = amd.good("Genoa")
    report = amd.Fields("Genoa", report_data=data).report()
    return Bundle(
        kind="snp", evidence={"report": report}, certificates=case.certificates, crls=case.crls
    )


def azure_snp(data: bytes) -> Bundle:
    message = azure.quote(data)
    signature = amd.rsa_key("attacker").sign(message, padding.PKCS1v15(), hashes.SHA256())
    evidence = {
        "hcl_report": azure.hcl(azure.runtime_of([azure.ak_jwk()])),
        "message": message,
        "signature": signature,
        "pcrs": azure.PCRS,
    }
    certificates = amd.good("Genoa").certificates
    return Bundle(kind="azure-snp", evidence=evidence, certificates=certificates)


def tdx(data: bytes) -> Bundle:
    quote = intel.tdx(intel.Td(report_data=data))
    return Bundle(kind="tdx", evidence={"quote": quote}, collateral=intel.collateral())


def sgx(data: bytes) -> Bundle:
    quote = intel.sgx(intel.enclave_report(report_data=data))
    return Bundle(kind="sgx", evidence={"quote": quote}, collateral=intel.collateral("SGX"))


def nitro_document(data: bytes) -> Bundle:
    document = nitro.document(fields={"nonce": data})
    return Bundle(kind="nitro", evidence={"document": document})


def tpm_quote(data: bytes) -> Bundle:
    sample = tpm.quote(nonce=data)
    parts = {
        "message": sample.message,
        "signature": sample.signature,
        "pcrs": b"".join(sample.pcrs[number] for number in sorted(sample.pcrs)),
        "ak": AK,
    }
    return Bundle(kind="tpm", evidence=parts)


def gpus(nonce: bytes, *numbers: int) -> Bundle:
    listed = [
        {
            "arch": "HOPPER",
            "evidence": base64.b64encode(sample.report).decode(),
            "certificate": base64.b64encode(sample.pem).decode(),
        }
        for sample in (nvidia.gpu(number, nonce=nonce) for number in numbers or (0,))
    ]
    return Bundle(kind="nvidia", evidence={"devices": msgspec.json.encode(listed)})


MANIFESTS = Bundle(
    kind="nvidia", evidence={}, collateral={"driver": nvidia.RIMS[0], "vbios": nvidia.RIMS[1]}
)


@dataclass
class Machine:
    """A collector over a simulated device. ``spoil`` changes what it is asked to carry."""

    kind: str
    make: Callable[[bytes], Bundle]
    spoil: Callable[[bytes], bytes] = field(default=lambda data: data)

    def collect(self, report_data: bytes) -> Bundle:
        return self.make(self.spoil(report_data))


@dataclass(frozen=True)
class Kind:
    """How to make evidence of a kind, when it is judged, and the code of another binding."""

    make: Callable[[bytes], Bundle]
    now: int
    code: str
    measurements: dict[str, str]
    expectations: dict[str, Any] = field(default_factory=dict)
    production: bool = True


KINDS = {
    "snp": Kind(
        snp,
        amd.NOW,
        "attest.snp_report_data",
        {"measurement": amd.Fields("Genoa").measurement.hex()},
    ),
    "azure-snp": Kind(
        azure_snp,
        amd.NOW,
        "attest.tpm_nonce",
        {"pcr4": hashlib.sha256(b"\4").hexdigest()},
        {"pcrs": {"4": [hashlib.sha256(b"\4").hexdigest()]}},
    ),
    "tdx": Kind(
        tdx, intel.NOW, "attest.tdx_report_data", {"mrtd": "7d" * 48}, {"platform": PLATFORM}
    ),
    "sgx": Kind(
        sgx,
        intel.NOW,
        "attest.sgx_report_data",
        {"mrenclave": "e1" * 32},
        {"platform": PLATFORM},
        production=False,
    ),
    "nitro": Kind(nitro_document, nitro.NOW, "attest.nitro_nonce", {"pcr0": "b0" * 48}),
    "tpm": Kind(
        tpm_quote,
        sim_tpm.NOW,
        "attest.tpm_nonce",
        {"pcr4": sim_tpm.pcr_value(4).hex()},
        {"ak_pins": [hashlib.sha256(AK).hexdigest()]},
        production=False,
    ),
}


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the simulated roots instead of the manufacturers'."""
    for product, digest in amd.roots().items():
        monkeypatch.setitem(ROOTS, product, digest)
    monkeypatch.setattr(nvidia_verify, "Roots", lambda: nvidia.ROOTS)
    for module in (tdx_verify, sgx_verify):
        monkeypatch.setattr(module, "verify", partial(module.verify, root=dcap.ROOT))
    pinned = partial(nitro_verify.verify, root=nitro_support.ROOT)
    monkeypatch.setattr(nitro_verify, "verify", pinned)


@pytest.fixture
def open_desk(tmp_path: Path) -> Callable[..., Desk]:
    def opened(name: str = "snp", policy: str = "", **allow: Any) -> Desk:
        kind = KINDS[name]
        wishes = {name: kind.expectations, "nvidia": allow.pop("nvidia", {})}
        text = policy or ("production-cpu" if kind.production else "dev")
        lists = {"products": ("Genoa", "TDX", "Nitro", "nitro", "tdx"), "gpu_products": ("GH100",)}
        document = Document(
            text,
            template(text),
            Allowed(**{**lists, **allow}),
            (Image("keeper", name, kind.measurements),),
            wishes,
        )
        return make_desk(tmp_path, policy=document, now=float(kind.now))

    return opened


def attester(name: str, **changes: Any) -> HardwareAttester:
    return HardwareAttester(Machine(name, KINDS[name].make, **changes))


def with_gpus(guest: Machine | None = None, **changes: Any) -> HardwareAttester:
    devices = Machine("nvidia", gpus, **changes)
    return HardwareAttester(guest or Machine("snp", snp), None, devices, MANIFESTS)


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


# --- R6.1 and R6.4: every kind, bound ------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_bound_evidence_is_accepted(open_desk: Callable[..., Desk], name: str) -> None:
    desk = open_desk(name)
    grant = desk.obtain(desk.requester(attester=attester(name)))
    assert bytes(grant.key.reveal(TOKEN)) == desk.secret
    (record,) = desk.records
    assert (record.evidence_kind, record.assurance) == (name, grant.assurance)
    assert record.measurements.items() >= KINDS[name].measurements.items()
    assert grant.assurance == "HARDWARE"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "spoil",
    [
        flipped,
        lambda data: data[:-1] + b"\1",
        lambda data: bytes(len(data)),
        lambda data: data[::-1],
    ],
    ids=["first byte", "last byte", "zeros", "reversed"],
)
def test_another_binding_is_refused(
    open_desk: Callable[..., Desk], name: str, spoil: Callable[[bytes], bytes]
) -> None:
    desk = open_desk(name)
    wrong = desk.requester(attester=attester(name, spoil=spoil))
    assert code_of(lambda: desk.obtain(wrong)) == KINDS[name].code
    assert desk.records[-1].reason == KINDS[name].code


@pytest.mark.parametrize("name", KINDS)
def test_evidence_does_not_outlive_its_request(open_desk: Callable[..., Desk], name: str) -> None:
    """Genuine evidence of one request, presented in the next one, or for another key or model."""
    desk = open_desk(name)
    session = desk.service.open_session()
    for change in (
        {"tee_public": HpkeIdentity.generate().recipient.public},
        {"context": b"another model"},
        {"manifest_digest": "00" * 32},
        {"model": "acme/other"},
        {"release": 4},
    ):
        _, request = desk.prepared(session, desk.requester(attester=attester(name)))
        release = msgspec.json.decode(request, type=Release)
        runtime = msgspec.json.decode(release.runtime, type=Runtime)
        changed = msgspec.json.encode(msgspec.structs.replace(runtime, **change))
        swapped = msgspec.structs.replace(release, runtime=changed)
        answer = desk.send(session, msgspec.json.encode(swapped))
        assert refused(answer) == KINDS[name].code, change


@pytest.mark.parametrize("name", KINDS)
def test_no_policy_file_waives_the_binding(open_desk: Callable[..., Desk], name: str) -> None:
    wishes = {**KINDS[name].expectations, bound.BOUND_FIELDS[name].field: "00" * 32}
    if bound.BOUND_FIELDS[name].waiver:
        wishes[bound.BOUND_FIELDS[name].waiver] = True
    desk = open_desk(name)
    document = msgspec.structs.replace(desk.policy, expectations={name: wishes})
    desk.policy = document
    desk.__post_init__()
    wrong = desk.requester(attester=attester(name, spoil=flipped))
    assert code_of(lambda: desk.obtain(wrong)) == KINDS[name].code
    desk.obtain(desk.requester(attester=attester(name)))


def test_every_kind_of_the_registry_has_its_place() -> None:
    from strongroom.attest import registry

    assert {*bound.BOUND_FIELDS, *bound.DEVICE_FIELDS} == set(registry.KINDS)
    assert set(KINDS) == set(bound.BOUND_FIELDS)
    assert ("local", *bound.BOUND_FIELDS) == judging.KINDS


# --- R6.2, R6.3, R6.5: devices -------------------------------------------------------------------


def test_a_guest_with_its_gpus(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(policy="production-gpu", gpus=1)
    desk.obtain(desk.requester(attester=with_gpus()))
    (record,) = desk.records
    assert record.products == ("Genoa", "GH100")
    assert len(record.chips) == 2
    assert record.additional_sha256
    assert record.certificates_until > desk.now


def test_missing_gpu_evidence(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(policy="production-gpu", gpus=1)
    with pytest.raises(KeyRefused, match="accelerators") as denied:
        desk.obtain(desk.requester(attester=attester("snp")))
    assert denied.value.code == "release.denied"


def test_gpu_that_answered_another_nonce(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(policy="production-gpu", gpus=1)
    relayed = desk.requester(attester=with_gpus(spoil=flipped))
    assert code_of(lambda: desk.obtain(relayed)) == "attest.nvidia_nonce"


def test_too_few_gpus(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(policy="production-gpu", gpus=1, nvidia={"count": 2})
    assert code_of(lambda: desk.obtain(desk.requester(attester=with_gpus()))) == (
        "attest.nvidia_count"
    )


def _sent(desk: Desk, change: Callable[[Release, Runtime], Release]) -> str:
    """The refusal of a request with one GPU, ``change`` applied on the way."""
    session = desk.service.open_session()
    _, request = desk.prepared(session, desk.requester(attester=with_gpus()))
    release = msgspec.json.decode(request, type=Release)
    runtime = msgspec.json.decode(release.runtime, type=Runtime)
    return refused(desk.send(session, msgspec.json.encode(change(release, runtime))))


def test_gpu_evidence_swapped_on_the_way(open_desk: Callable[..., Desk]) -> None:
    """Another genuine GPU that answers this very nonce: the processor did not commit to it."""
    desk = open_desk(policy="production-gpu", gpus=1)

    def swap(release: Release, runtime: Runtime) -> Release:
        other = gpus(binding.device_nonce(runtime, release.runtime), 1)
        full = msgspec.structs.replace(other, collateral=MANIFESTS.collateral)
        return msgspec.structs.replace(release, additional=encode(full))

    assert _sent(desk, swap) == "attest.snp_report_data"


def test_gpu_evidence_taken_away_on_the_way(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()  # a policy that does not ask for GPUs
    strip: Callable[[Release, Runtime], Release] = lambda release, _: msgspec.structs.replace(  # noqa: E731
        release, additional=b""
    )
    assert _sent(desk, strip) == "attest.snp_report_data"


def test_evidence_in_the_wrong_place(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()

    def swap(release: Release, _: Runtime) -> Release:
        return msgspec.structs.replace(
            release, evidence=release.additional, additional=release.evidence
        )

    def nest(release: Release, _: Runtime) -> Release:
        guest, devices = decode(release.evidence), decode(release.additional)
        nested = msgspec.structs.replace(guest, nested=(devices,))
        return msgspec.structs.replace(release, evidence=encode(nested))

    def garble(release: Release, _: Runtime) -> Release:
        return msgspec.structs.replace(release, additional=release.additional + b" ")

    assert _sent(desk, swap) == "release.evidence_kind"
    assert _sent(desk, nest) == "release.evidence_nested"
    assert _sent(desk, garble) == "attest.bundle_form"


def test_what_a_collector_does_not_find_comes_from_the_side(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk()
    whole = snp(bytes(64))
    bare = Machine("snp", lambda data: Bundle(kind="snp", evidence=snp(data).evidence))
    assert code_of(lambda: desk.obtain(desk.requester(attester=HardwareAttester(bare)))).startswith(
        "attest.snp"
    )
    desk.obtain(desk.requester(attester=HardwareAttester(bare, whole)))


def test_a_devices_nonce_depends_on_session_nonce_and_key() -> None:
    runtime = Runtime(
        session=bytes(16),
        nonce=bytes(32),
        audience="00" * 16,
        tee_public=bytes(1216),
        model="acme/llama",
        release=1,
        manifest_digest="00" * 32,
        context=b"",
    )
    seen = set()
    for change in ({}, {"session": bytes([1]) * 16}, {"nonce": bytes([1]) * 32},
                   {"tee_public": bytes([1]) * 1216}, {"audience": "11" * 16}):  # fmt: skip
        made = msgspec.structs.replace(runtime, **change)
        encoded = msgspec.json.encode(made)
        seen.add(binding.device_nonce(made, encoded))
        seen.add(binding.report_data(made, encoded, b"")[: binding.DIGEST_BYTES])
        seen.add(binding.report_data(made, encoded, b"{}")[: binding.DIGEST_BYTES])
    assert len(seen) == 15
    assert not any(binding.report_data(made, encoded, b"")[binding.DIGEST_BYTES :])
