"""strongroom: the sealed model, strict (signed segment hashes) or without them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from common import timed, timed_load

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import open_sealed
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.seal import seal
from strongroom.artifact.signing import SigningKey
from strongroom.artifact.trust import Trust
from strongroom.artifact.verify import verify
from strongroom.keeper.arena import tensors_over
from strongroom.keys.keyring import FileKeyring

SIGNER = SigningKey.from_seeds(bytes(range(64)))


def save(checkpoint: str, work: Path) -> None:
    ring = work / "keyring.json"
    wrapper = FileKeyring.open(ring, None) if ring.exists() else FileKeyring.create(ring, None)
    seal(
        Path(checkpoint).parent,
        work / "sealed",
        signer=SIGNER,
        wrap=[wrapper.wrap],
        model_id="bench",
        release=1,
        policy=DisclosurePolicy(),
    )


def key(work: Path) -> DataKey:
    from strongroom.artifact.manifest import read_manifest, recipient_context
    from strongroom.artifact.rewrap import read_recipients

    trust = Trust([SIGNER.public])
    context = recipient_context(read_manifest(work / "sealed", trust))
    (stanza,) = read_recipients(work / "sealed")
    return FileKeyring.open(work / "keyring.json", None).unwrap(stanza, context)


def main() -> None:
    command, checkpoint = sys.argv[1:3]
    work = Path(sys.argv[3])
    trust = Trust([SIGNER.public])
    if command == "prepare":
        save(checkpoint, work)
    elif command == "seal":
        shutil.rmtree(work / "sealed", ignore_errors=True)
        timed(lambda: save(checkpoint, work))
    elif command == "verify":
        timed(lambda: verify(work / "sealed", trust=trust))
    else:
        data_key = key(work)
        strict = command == "load-strict"

        def load() -> dict:
            model = open_sealed(work / "sealed", data_key, trust=trust, state=None, strict=strict)
            return tensors_over(model.arena, model.tensors)

        timed_load(load)


main()
