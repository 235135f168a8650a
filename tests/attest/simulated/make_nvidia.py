"""Make the committed fixtures of the simulated NVIDIA; run once, from the checkout's root::

    python -m tests.attest.simulated.make_nvidia

The keys are written beside the certificates: they protect nothing, and the tests sign bad
evidence with them. The verifier knows this root only where a test passes it.
"""

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from . import nvidia as sim

FOLDER = Path(__file__).parent / "nvidia_fixtures"
NONCE = bytes(range(0x40, 0x60))
DRIVER = {7: (sim.BLOCKS[7],), 21: (bytes(48), sim.BLOCKS[21]), 35: (bytes(48),)}
VBIOS = {index: (sim.BLOCKS[index],) for index in (0, 1, 2, 9)}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    root = sim.issue("Simulated Device Identity CA", None)
    identity = sim.issue("Simulated GH100 Identity", root)
    provisioner = sim.issue("Simulated GH100 Provisioner ICA 1", identity)
    rim_root = sim.issue("Simulated CoRIM signing Root CA", None)
    rim_ca = sim.issue("Simulated Reference Value GH100 CA", rim_root)
    rim_l3 = sim.issue("Simulated Reference Value L3 GH100 001", rim_ca, path_length=0)
    rim_signer = sim.issue("Simulated RIM L4 Signer", rim_l3, authority=False)
    parties = {
        "device_root": root,
        "identity": identity,
        "provisioner": provisioner,
        "rim_root": rim_root,
        "rim_ca": rim_ca,
        "rim_l3": rim_l3,
        "rim_signer": rim_signer,
    }
    for number, pdi in enumerate(sim.GPU_PDIS):
        _device(parties, f"gpu{number}", "GH100 A01 GSP", "41" + pdi.hex().upper(), provisioner)
    for number, pdi in enumerate(sim.SWITCHES):
        _device(parties, f"switch{number}", "LS_10 A01 FSP", "50" + pdi.hex().upper(), provisioner)
    for name, party in parties.items():
        key = party.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (FOLDER / f"{name}.pem").write_bytes(party.pem + key)
    chain = (rim_l3, rim_ca, rim_root)
    for name, version, active, product, count in (
        ("driver", "570.124.06", DRIVER, "GH100", 64),
        ("vbios", "96.00.74.00.1A", VBIOS, "GH100", 64),
        ("switch", "96.10.55.00.01", VBIOS, "LS_10", 31),
    ):
        document = sim.sign_tag(sim.tag(version, active, product, count), rim_signer, chain)
        (FOLDER / f"{name}.rim.xml").write_bytes(document)
    _evidence(parties)


def _device(parties: dict, name: str, chip: str, serial: str, issuer: sim.Party) -> None:
    brom = sim.issue(f"{chip} BROM", issuer, serial=serial)
    key = sim.ec.generate_private_key(sim.ec.SECP384R1())
    parties[f"{name}_brom"] = brom
    parties[f"{name}_leaf"] = sim.issue(
        f"{chip} FMC LF",
        brom,
        authority=False,
        key=key,
        extensions=(sim.composite(brom.key.public_key(), sim.FWID),),
    )


def _evidence(parties: dict) -> None:
    upper = (parties["provisioner"], parties["identity"], parties["device_root"])
    for name, ppcie in (("one_gpu", False), ("two_gpus_two_switches", True)):
        items = []
        for device in ("gpu0", "gpu1", "switch0", "switch1")[: 4 if ppcie else 1]:
            is_gpu = device.startswith("gpu")
            sample = sim.Sample(
                leaf=parties[f"{device}_leaf"],
                chain=(parties[f"{device}_brom"], *upper),
                architecture="HOPPER" if is_gpu else "LS10",
                nonce=NONCE,
                blocks=sim.BLOCKS if is_gpu else sim.SWITCH_BLOCKS,
                fields=sim.gpu_fields(ppcie)
                if is_gpu
                else sim.switch_fields(sim.SWITCHES[int(device[-1])]),
            )
            items.append(
                {
                    "arch": sample.architecture,
                    "certificate": base64.b64encode(sample.pem).decode(),
                    "evidence": base64.b64encode(sample.report).decode(),
                    "nonce": NONCE.hex(),
                }
            )
        (FOLDER / f"{name}.json").write_text(json.dumps(items, indent=1) + "\n")


if __name__ == "__main__":
    main()
