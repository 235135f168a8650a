"""Fingerprints of weights: is every derived copy found, and nobody accused?

1. Copies of a plain model, each made in memory as a thief might (``tests/provenance/copies.py``),
   are compared with its fingerprint, beside a library of independent models.
2. Each model of the library is registered in turn and compared with each other one, the rest being
   the library: every ordered pair is a chance to accuse falsely.
3. The same with two other fingerprints (``provenance_baselines``) by the rule of ``compare``:
   p < 0.001 against the library, and a likeness of at least 0.5.

``python -m benchmarks.provenance MODEL LIBRARY``; ``strongroom prove library MODEL LIBRARY`` makes
the latter.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from benchmarks import provenance_baselines as baselines
from strongroom.provenance.compare import LEAST, LEVEL, Comparison, compare, tail
from strongroom.provenance.decoder import Decoder, read_folder
from strongroom.provenance.fingerprint import Fingerprint, take
from tests.provenance.copies import COPIES, altered


def fingerprint(model: Decoder, number: int) -> Fingerprint:
    """One by a seed of its own."""
    seed = number.to_bytes(32, "big")
    return take(model, name=model.name, release=1, manifest="0" * 64, seed=seed)


def show(name: str, found: Comparison, seconds: float) -> None:
    """One line."""
    print(
        f"{name:20} {found.suspect.value:7.4f}  p {found.p:.0e}  {found.verdict}  {seconds:.1f} s"
    )


def accuses(value: float, library: Sequence[float]) -> bool:
    """The rule of ``compare``."""
    spread = max(statistics.stdev(library), 1e-6)
    z = (value - statistics.mean(library)) / spread
    p = tail(z / math.sqrt(1 + 1 / len(library)), len(library) - 1)
    return p < LEVEL and value >= LEAST


def against(
    name: str,
    alike: Callable[[Tensor, Tensor], float],
    ours: Tensor,
    copies: dict[str, Tensor],
    library: list[Tensor],
) -> None:
    """What another fingerprint finds, and whom it accuses."""
    null = [alike(ours, other) for other in library]
    found = {copy: alike(ours, told) for copy, told in copies.items()}
    print(name, {copy: round(value, 3) for copy, value in found.items()})
    print("  independent:", *sorted(round(value, 3) for value in null))
    detected = sum(accuses(value, null) for value in found.values())
    above = sum(value > max(null) for value in found.values())
    pairs = [(a, b) for a in range(len(library)) for b in range(len(library)) if a != b]
    accused = 0
    for a, b in pairs:
        rest = [alike(library[a], library[c]) for c in range(len(library)) if c not in (a, b)]
        accused += accuses(alike(library[a], library[b]), rest)
    print(
        f"  {detected} of {len(found)} copies called copies, {above} more alike than every "
        f"independent model; {accused} of {len(pairs)} independent pairs accused"
    )


def others(folder: Path, model: Decoder, library: list[Decoder], folders: list[Path]) -> None:
    """Step 3."""
    copies = {change.__name__: altered(model, change) for change in COPIES}
    against(
        "standard deviations",
        baselines.by_spreads,
        baselines.spreads(model),
        {name: baselines.spreads(copy) for name, copy in copies.items()},
        [baselines.spreads(other) for other in library],
    )
    asked = baselines.texts(folder / "tokenizer.json", [model, *library])
    config = baselines.config_of(folder)
    against(
        f"representations, {len(asked)} texts",
        baselines.by_representations,
        baselines.representations(model, config, asked),
        {name: baselines.representations(copy, config, asked) for name, copy in copies.items()},
        [
            baselines.representations(other, baselines.config_of(path), asked)
            for other, path in zip(library, folders, strict=True)
        ],
    )


def main(words: list[str]) -> int:
    """The command."""
    model = read_folder(Path(words[0]))
    folders = [path.parent for path in sorted(Path(words[1]).glob("*/config.json"))]
    library = [read_folder(folder) for folder in folders]
    began = time.perf_counter()
    registered = fingerprint(model, 1)
    print(f"fingerprint: {time.perf_counter() - began:.1f} s")
    for change in COPIES:
        copy = altered(model, change)
        began = time.perf_counter()
        found = compare(registered, copy, library)
        show(change.__name__, found, time.perf_counter() - began)
    print("independent:", *sorted(round(other.value, 3) for other in found.library))
    values, accused = [], 0
    for number, ours in enumerate(library):
        taken = fingerprint(ours, 2 + number)
        for other in library:
            if other is not ours:
                rest = [each for each in library if each not in (ours, other)]
                found = compare(taken, other, rest)
                values.append(found.suspect.value)
                accused += found.verdict == "copy"
    others(Path(words[0]), model, library, folders)
    print(f"{len(values)} pairs of the library: {accused} accused, largest {max(values):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
