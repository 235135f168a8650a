"""Plain, unencrypted safetensors: memory-mapped, then every tensor cloned into memory."""

from __future__ import annotations

import sys

from common import timed_load
from safetensors.torch import load_file


def main() -> None:
    command, checkpoint, _work = sys.argv[1:4]
    if command == "prepare":
        return
    timed_load(lambda: {k: v.clone() for k, v in load_file(checkpoint).items()})


main()
