"""Radioactivity: from how many marked tokens is a student found, how often, and who is accused?

1. A teacher writes answers without a mark and with the marks of several keys
   (``radioactivity_texts``).
2. Students from nothing (``radioactivity_students``) each learn from so many tokens, marked by one
   of the keys or not at all. Nothing else differs, but chance. Of those without a mark one is the
   control, another a suspect.
3. Each suspect is judged on a probe of unmarked answers that nobody learnt from, against the
   control, and without it.
4. Each suspect that never met a key, clean or of another's marks, is judged by many keys that
   marked nothing: how often is p < 0.001? Beside it the naive test: greens among the likeliest
   tokens, each place a draw of its own, against a quarter.

``python -m benchmarks.radioactivity [--teacher smollm2] [--scheme synthid] [--epochs 0]``
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import radioactivity_students as students
from benchmarks.radioactivity_texts import TENANT, Ids, Teacher, secret, small, smollm2
from strongroom.exposure.measurement.proportions import binomial_tail, proportion
from strongroom.watermark.interface import Scheme
from strongroom.watermark.kgw import RATIO, Greens
from strongroom.watermark.radioactivity import LEVEL, Probe, Radioactivity, Values, judge, probe

STRANGERS = 1_000
"""Numbers of secrets from here on marked nothing."""


@dataclass(frozen=True)
class Student:
    """What one predicted: its reading, and the likeliest token at each place of the probe."""

    value: Values
    likeliest: Ids


@dataclass(frozen=True)
class Row:
    """Students of ``dose`` tokens; each of ``suspects`` with the number of its key."""

    dose: int
    control: Student
    clean: Student
    suspects: list[tuple[int, Student]]


@dataclass(frozen=True)
class World:
    """What students of a teacher's texts know, and what they are asked."""

    teacher: Teacher
    scheme: Scheme
    words: students.Words
    asked: Probe
    epochs: int

    def student(self, ids: Ids, seed: int) -> Student:
        """One that learnt from ``ids``."""
        if self.epochs:
            told = students.neural(ids, self.words, self.asked, seed, self.epochs)
        else:
            told = students.counting(ids, self.words, self.asked)
        return Student(*students.read(told, self.scheme, self.asked))

    def judge(
        self, suspect: Student, controls: Sequence[Student], key: int, **how: int
    ) -> Radioactivity:
        """By the key of that number."""
        values = [each.value for each in controls]
        owner = (secret(key), TENANT, self.teacher.vocabulary)
        return judge(self.scheme, self.asked, suspect.value, values, *owner, **how)

    def naive(self, suspect: Student, key: int) -> float:
        """Step 4's p of greens among the likeliest tokens."""
        greens = Greens(secret(key), TENANT, self.teacher.vocabulary)
        before = self.asked.rows[:, :-1]
        hits = sum(
            int(greens.after(int(word), suspect.likeliest[before == word]).sum())
            for word in np.unique(before)
        )
        return binomial_tail(hits, before.size, RATIO)


def learnt(
    worlds: World, plain: Ids, marked: Sequence[Ids], dose: int, most: int, seed: int
) -> Row:
    """Step 2 at one dose: of each key's text as many students as it has parts, ``most`` at most;
    the clean suspect learns from the end of the unmarked text."""
    parts = [
        (key, ids[at : at + dose])
        for key, ids in enumerate(marked, 1)
        for at in range(0, min(len(ids) - dose, (most - 1) * dose) + 1, dose)
    ]
    return Row(
        dose,
        worlds.student(plain[:dose], seed),
        worlds.student(plain[-dose:], seed + 1),
        [(key, worlds.student(ids, seed + 2 + at)) for at, (key, ids) in enumerate(parts)],
    )


def show(worlds: World, row: Row) -> None:
    """Step 3."""
    found = [worlds.judge(suspect, [row.control], key) for key, suspect in row.suspects]
    alone = [worlds.judge(suspect, [], key) for key, suspect in row.suspects]
    clean = [worlds.judge(row.clean, [row.control], 1 + key) for key in range(len(found))]
    for name, told in (("marked", found), ("marked, no control", alone), ("clean", clean)):
        ps, zs = sorted(each.p for each in told), [each.z for each in told]
        power = proportion(sum(each.found for each in told), len(told))
        print(
            f"{row.dose:7} tokens, {name:18} p < {LEVEL} in {sum(each.found for each in told)} of "
            f"{len(told)} ({power.interval.low:.2f} to {power.interval.high:.2f}), p median "
            f"{statistics.median(ps):.2g}, worst {ps[-1]:.2g}, z median "
            f"{statistics.median(zs):.1f} ({min(zs):.1f} to {max(zs):.1f})",
            flush=True,
        )


def alarms(worlds: World, rows: Sequence[Row], keys: int) -> None:
    """Step 4."""
    largest = rows[-1]
    clean = [(row.clean, row.control) for row in rows]
    others = [(suspect, largest.control) for _, suspect in largest.suspects]
    for name, pairs in (("clean", clean), ("of another's marks", others)):
        told, naive = [], []
        for key in range(STRANGERS, STRANGERS + keys):
            for suspect, control in pairs:
                told.append(worlds.judge(suspect, [control], key, seed=key, wrong=1_999).p)
                if worlds.scheme == "kgw":
                    naive.append(worlds.naive(suspect, key))
        print(f"students {name}, {len(pairs)} by {keys} keys:")
        for words, ps in (("ours", told), ("naive", naive)):
            for level in (0.05, 0.01, LEVEL):
                if ps:
                    rate = proportion(sum(p < level for p in ps), len(ps))
                    print(
                        f"  {words}: p < {level} in {round(rate.value * rate.n)} of {rate.n}, "
                        f"{rate.interval.low:.2g} to {rate.interval.high:.2g}; "
                        f"least {min(ps):.2g}",
                        flush=True,
                    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", choices=("small", "smollm2"), default="small")
    parser.add_argument("--scheme", choices=("kgw", "synthid"), default="kgw")
    parser.add_argument("--keys", type=int, default=4, help="each with texts of its own")
    parser.add_argument("--doses", type=int, nargs="+", default=[2_000, 10_000, 30_000, 100_000])
    parser.add_argument("--plain", type=int, default=200_000, help="unmarked tokens to learn from")
    parser.add_argument("--probe", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=4, help="students of each key, at most")
    parser.add_argument("--epochs", type=int, default=2, help="0: students count pairs")
    parser.add_argument("--strangers", type=int, default=250, help="keys that marked nothing; or 0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    teacher = small() if given.teacher == "small" else smollm2()
    unmarked = students.stream(teacher.written(None, 0, given.plain + given.probe))
    asked, plain = unmarked[: given.probe], unmarked[given.probe :]
    marked = [
        students.stream(teacher.written(given.scheme, key, max(given.doses)))
        for key in range(1, 1 + given.keys)
    ]
    words = students.Words(np.concatenate([unmarked, *marked]))
    worlds = World(teacher, given.scheme, words, probe(asked), given.epochs)
    rows = []
    for dose in given.doses:
        rows.append(learnt(worlds, plain, marked, dose, given.parts, 1000 * len(rows)))
        show(worlds, rows[-1])
        print(f"# {time.process_time() - began:.0f} s of CPU", flush=True)
    if given.strangers:
        alarms(worlds, rows, given.strangers)
    print(f"# {time.process_time() - began:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
