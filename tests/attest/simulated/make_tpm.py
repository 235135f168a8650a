"""Make the committed fixtures of the simulated TPM's manufacturer; from the checkout's root::

    python -m tests.attest.simulated.make_tpm

The keys are written beside the certificates: they protect nothing, and the tests sign bad
evidence with them.
"""

from pathlib import Path

from cryptography.hazmat.primitives import serialization

from . import tpm as sim

FOLDER = Path(__file__).parent / "tpm_fixtures"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    keys = {
        "root": sim.rsa.generate_private_key(65537, 3072),
        "ca": sim.ec.generate_private_key(sim.ec.SECP384R1()),
        "ek": sim.rsa.generate_private_key(65537, 2048),
        "ak": sim.ec.generate_private_key(sim.ec.SECP256R1()),
        "ak_rsa": sim.rsa.generate_private_key(65537, 2048),
    }
    root = sim.issue("Simulated TPM Root", None, keys["root"].public_key(), keys["root"])
    ca = sim.issue("Simulated TPM CA", root, keys["ca"].public_key(), keys["ca"], path_length=0)
    ek = sim.issue("EK", ca, keys["ek"].public_key(), keys["ek"], purpose=sim.EK_PURPOSE)
    ak = sim.issue("AK", ca, keys["ak"].public_key(), keys["ak"], purpose=sim.AK_PURPOSE)
    rsa = sim.issue("AK", ca, keys["ak_rsa"].public_key(), keys["ak_rsa"], purpose=sim.AK_PURPOSE)
    parties = {"root": root, "ca": ca, "ek": ek, "ak": ak, "ak_rsa": rsa}
    for name, party in parties.items():
        key = party.key.private_bytes(
            sim.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (FOLDER / f"{name}.pem").write_bytes(party.certificate.public_bytes(sim.PEM) + key)
    sample = sim.Sample(key=keys["ak"], pcrs=sim.logged_pcrs())
    (FOLDER / "quote.message").write_bytes(sample.message)
    (FOLDER / "quote.signature").write_bytes(sample.signature)
    (FOLDER / "quote.log").write_bytes(sim.log())


if __name__ == "__main__":
    main()
