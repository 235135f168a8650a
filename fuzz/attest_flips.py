"""Alter every byte of GPU and TPM evidence, certificates and manifests once; minutes.

    PYTHONPATH=. python fuzz/attest_flips.py [part of a target's name ...]

Prints a line a target and exits with 1 if an alteration was accepted that means something.
"""

from __future__ import annotations

import sys
import time

from tests.attest.device_flips import alter, targets


def main() -> int:
    """Alter everything and count."""
    total = same = wrong = 0
    begin = time.monotonic()
    wanted = sys.argv[1:]
    for target in targets():
        if wanted and not any(part in target.name for part in wanted):
            continue
        target.judge(target.data)
        result = alter(target)
        total += len(target.data)
        same += result.same
        wrong += len(result.wrong)
        print(
            f"{target.name}: {len(target.data)} bytes, {result.refused} refused, "
            f"{result.same} the same, wrong at {list(result.wrong) or 'none'}",
            flush=True,
        )
    seconds = time.monotonic() - begin
    print(f"{total} bytes altered, {same} say the same, {wrong} wrong, {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
