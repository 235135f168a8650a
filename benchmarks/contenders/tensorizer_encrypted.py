"""tensorizer at its defaults, with encryption."""

from __future__ import annotations

import sys
from pathlib import Path

from common import KEY, timed, timed_load
from safetensors.torch import load_file
from tensorizer import DecryptionParams, EncryptionParams, TensorDeserializer, TensorSerializer


def save(checkpoint: str, target: Path) -> None:
    tensors = load_file(checkpoint)
    serializer = TensorSerializer(str(target), encryption=EncryptionParams(key=KEY))
    serializer.write_state_dict(tensors)
    serializer.close()


def load(target: Path) -> dict:
    return dict(
        TensorDeserializer(str(target), device="cpu", encryption=DecryptionParams.from_key(KEY))
    )


def main() -> None:
    command, checkpoint, work = sys.argv[1:4]
    target = Path(work) / "model.tensors"
    if command == "prepare":
        save(checkpoint, target)
    elif command == "seal":
        target.unlink(missing_ok=True)
        timed(lambda: save(checkpoint, target))
    else:
        timed_load(lambda: load(target))


main()
