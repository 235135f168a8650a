"""``python -m demo.opened HOME SEALED``: opens a sealed model as the keeper does, then waits.

For whoever cannot read the keeper's memory: this process unwraps the data key, opens the model,
wipes the key, and raises no wall, so that its memory can be searched for what should be gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from demo import home as homes
from demo.privilege import open_to_all_tracers
from strongroom.artifact.opening import open_sealed


def main() -> int:
    """Open, say so, and hold the weights until the standard input ends."""
    home, sealed = map(Path, sys.argv[1:])
    open_to_all_tracers()
    key = homes.unwrap(home, sealed)
    try:
        opened = open_sealed(sealed, key, trust=homes.trust(home), state=homes.release_state(home))
    finally:
        key.wipe()
    print("opened", flush=True)
    sys.stdin.read()
    opened.wipe()
    return 0


if __name__ == "__main__":
    sys.exit(main())
