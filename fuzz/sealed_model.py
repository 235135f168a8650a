"""Random edits of a small sealed model: none may open, crash, or allocate beyond its size.

Run ``python fuzz/sealed_model.py`` (100,000 edits on all cores) or with ``--edits N --seed S``.
Prints how often each reason was given; exits 1 if an edit did anything but raise a refusal.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from artifact.edits import fresh_seed
from artifact.fuzzing import Outcome, fuzz


def main() -> int:
    """Parse the arguments, share the edits out, add up what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=fresh_seed())
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    shares = [options.edits // cores + (i < options.edits % cores) for i in range(cores)]
    seeds = [options.seed + i for i in range(cores)]
    start = time.monotonic()
    total = Outcome()
    with ProcessPoolExecutor(cores) as pool:
        for outcome in pool.map(fuzz, shares, seeds):
            total.reasons += outcome.reasons
            total.findings += outcome.findings
    print(f"{total.edits} edits in {time.monotonic() - start:.0f} s, seed {options.seed}")
    for code, count in total.reasons.most_common():
        print(f"{count:8} {code}")
    for finding in total.findings[:20]:
        print(f"FINDING {finding}")
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main())
