"""The simulated NVIDIA as its committed fixtures have it, ready to be bent by a test."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from strongroom.attest.interface import Facts
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.expectations import Expectations, Roots
from strongroom.attest.nvidia.verify import Evidence, verify
from tests.attest.simulated import nvidia as sim
from tests.attest.simulated.make_nvidia import DRIVER, NONCE, VBIOS

FIXTURES = Path(__file__).parent.parent / "simulated" / "nvidia_fixtures"
STRICT = Expectations(nonce=NONCE.hex())
VERSIONS = {"driver": "570.124.06", "vbios": "96.00.74.00.1A"}


def party(name: str) -> sim.Party:
    data = (FIXTURES / f"{name}.pem").read_bytes()
    key = serialization.load_pem_private_key(data, None)
    return sim.Party(key, x509.load_pem_x509_certificate(data))


PARTIES = {path.stem: party(path.stem) for path in sorted(FIXTURES.glob("*.pem"))}
ROOTS = Roots(PARTIES["device_root"].fingerprint, PARTIES["rim_root"].fingerprint)
UPPER = (PARTIES["provisioner"], PARTIES["identity"], PARTIES["device_root"])
RIM_CHAIN = (PARTIES["rim_l3"], PARTIES["rim_ca"], PARTIES["rim_root"])
RIMS = tuple((FIXTURES / f"{name}.rim.xml").read_bytes() for name in ("driver", "vbios", "switch"))


def gpu(number: int = 0, ppcie: bool = False, **changes: object) -> sim.Sample:
    """A good GPU, with what a test changes about it."""
    sample = sim.Sample(
        leaf=PARTIES[f"gpu{number}_leaf"],
        chain=(PARTIES[f"gpu{number}_brom"], *UPPER),
        architecture="HOPPER",
        nonce=NONCE,
        blocks=sim.BLOCKS,
        fields=sim.gpu_fields(ppcie),
    )
    return sample.but(**changes)


def switch(number: int = 0, **changes: object) -> sim.Sample:
    """A good NVSwitch, with what a test changes about it."""
    sample = sim.Sample(
        leaf=PARTIES[f"switch{number}_leaf"],
        chain=(PARTIES[f"switch{number}_brom"], *UPPER),
        architecture="LS10",
        nonce=NONCE,
        blocks=sim.SWITCH_BLOCKS,
        fields=sim.switch_fields(sim.SWITCHES[number]),
    )
    return sample.but(**changes)


def leafed(sample: sim.Sample, **changes: object) -> sim.Sample:
    """``sample`` under a leaf that is issued anew, with a defect."""
    defaults = {
        "common_name": "GH100 A01 GSP FMC LF",
        "issuer": sample.chain[0],
        "authority": False,
        "key": sample.leaf.key,
        "extensions": (sim.composite(sample.chain[0].key.public_key(), sim.FWID),),
    }
    return sample.but(leaf=sim.issue(**{**defaults, **changes}))


def bromed(sample: sim.Sample, **changes: object) -> sim.Sample:
    """``sample`` under a boot ROM certificate (and leaf) that is issued anew, with a defect."""
    defaults = {
        "common_name": "GH100 A01 GSP BROM",
        "issuer": UPPER[0],
        "serial": "41" + sim.GPU_PDIS[0].hex().upper(),
        "key": sample.chain[0].key,
    }
    brom = sim.issue(**{**defaults, **changes})
    return leafed(sample.but(chain=(brom, *sample.chain[1:])), issuer=brom)


def without(sample: sim.Sample, *kinds: int, **more: bytes) -> sim.Sample:
    return sample.but(fields={k: v for k, v in sample.fields.items() if k not in kinds})


def fields(sample: sim.Sample, entries: dict[int, bytes]) -> sim.Sample:
    return sample.but(fields={**sample.fields, **entries})


def rim(
    kind: str = "driver",
    *,
    version: str = "",
    active: dict[int, tuple[bytes, ...]] | None = None,
    edit: tuple[str, str] = ("", ""),
    signer: sim.Party | None = None,
    chain: tuple[sim.Party, ...] = RIM_CHAIN,
    **changes: object,
) -> bytes:
    """A signed manifest; ``edit`` replaces text before it is signed."""
    values = {"driver": DRIVER, "vbios": VBIOS}[kind] if active is None else active
    unsigned = sim.tag(version or VERSIONS[kind], values).decode()
    if edit[0]:
        assert edit[0] in unsigned
        unsigned = unsigned.replace(*edit, 1)
    return sim.sign_tag(unsigned.encode(), signer or PARTIES["rim_signer"], chain, **changes)


def evidence_of(*samples: sim.Sample | DeviceEvidence) -> tuple[DeviceEvidence, ...]:
    return tuple(
        entry
        if isinstance(entry, DeviceEvidence)
        else DeviceEvidence(entry.architecture, entry.report, entry.pem)
        for entry in samples
    )


def judge(
    *samples: sim.Sample | DeviceEvidence,
    rims: tuple[bytes, ...] = RIMS,
    now: int = sim.NOW,
    roots: Roots = ROOTS,
    **choices: object,
) -> Facts:
    """Verify samples under the strict expectations, changed by ``choices``."""
    return verify(
        Evidence(evidence_of(*samples), rims),
        now=now,
        roots=roots,
        expectations=msgspec.structs.replace(STRICT, **choices),
    )
