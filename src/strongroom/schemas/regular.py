"""Finite automata over bytes: built as a nondeterministic one, made deterministic by subsets.

Thompson's construction and the subset construction (Hopcroft, Motwani, Ullman, *Introduction to
Automata Theory*, chapter 2), for languages without repetition: all edges lead forwards, so the
automaton has no cycle. Both sizes are capped, and so is the time.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from strongroom.boundary.automaton import DEAD, END, MAX_STATES, START, Automaton
from strongroom.schemas.reasons import too_large

MAX_PLACES: Final = 150_000
MAX_EDGES: Final = 600_000
"""Places and edges of the nondeterministic automaton."""

MAX_MEMBERS: Final = 150_000
"""Sum of the sizes of all subsets: bounds the time where they overlap much."""

Place = int


class Builder:
    """A nondeterministic automaton under construction. ``begin`` and ``final`` are its ends."""

    def __init__(self) -> None:
        self._edges: list[list[tuple[int, int, Place]]] = []
        self._skips: list[list[Place]] = []
        self._drawn = 0
        self.begin = self.place()
        self.final = self.place()

    def place(self) -> Place:
        """A new place.

        Raises:
            ConfigurationRefused: ``schemas.too_large``.
        """
        if len(self._edges) >= MAX_PLACES:
            raise too_large(f"it takes more than {MAX_PLACES} places")
        self._edges.append([])
        self._skips.append([])
        return len(self._edges) - 1

    def edge(self, start: Place, low: int, high: int, end: Place) -> None:
        """From ``start`` each byte from ``low`` to ``high`` leads to ``end``.

        Raises:
            ConfigurationRefused: ``schemas.too_large``.
        """
        self._drawn += 1
        if self._drawn > MAX_EDGES:
            raise too_large(f"it takes more than {MAX_EDGES} edges")
        self._edges[start].append((low, high, end))

    def skip(self, start: Place, end: Place) -> None:
        """``start`` is ``end``, too."""
        self._skips[start].append(end)

    def text(self, start: Place, text: str, end: Place) -> None:
        """The bytes of ``text``, which is not empty, lead from ``start`` to ``end``."""
        raw = text.encode()
        for byte in raw[:-1]:
            following = self.place()
            self.edge(start, byte, byte, following)
            start = following
        self.edge(start, raw[-1], raw[-1], end)

    def automaton(self) -> Automaton:
        """The deterministic automaton of the same language.

        Raises:
            ConfigurationRefused: ``schemas.too_large``.
        """
        return _Subsets(self._edges, self._skips, self.begin, self.final).automaton()


class _Subsets:
    """The subset construction. Every set but the last one leads somewhere: see ``Builder``."""

    def __init__(
        self,
        edges: list[list[tuple[int, int, Place]]],
        skips: list[list[Place]],
        begin: Place,
        final: Place,
    ) -> None:
        self._edges, self._skips, self._final = edges, skips, final
        self._classes, self._width = _classes(edges)
        self._closures: dict[Place, frozenset[Place]] = {}
        self._numbers: dict[frozenset[Place], int] = {}
        self._sets: list[frozenset[Place]] = [frozenset(), frozenset(), frozenset()]
        self._members = 0
        start = self._closure((begin,))
        self._sets[START] = start
        self._numbers[start] = START

    def automaton(self) -> Automaton:
        table = array("H", bytes(2 * self._width * len(self._sets)))
        at = START
        while at < len(self._sets):
            if at != END:
                targets = self._row(self._sets[at])
                numbers = array("H", [self._number(each) if each else DEAD for each in targets])
                table[at * self._width : (at + 1) * self._width] = numbers
                table.extend(bytes(self._width * len(self._sets) - len(table)))
            at += 1
        return Automaton(bytes(self._classes), self._width, table.tobytes())

    def _row(self, places: frozenset[Place]) -> list[list[Place]]:
        """Where each class of bytes leads."""
        row: list[list[Place]] = [[] for _ in range(self._width)]
        for place in places:
            for low, high, end in self._edges[place]:
                for each in range(self._classes[low], self._classes[high] + 1):
                    row[each].append(end)
        return row

    def _number(self, places: Sequence[Place]) -> int:
        found = self._closure(places)
        if self._final in found:
            return END
        number = self._numbers.get(found)
        if number is None:
            number = len(self._sets)
            self._members += len(found)
            if number >= MAX_STATES or self._members > MAX_MEMBERS:
                raise too_large(f"it takes more than {MAX_STATES} states")
            self._numbers[found] = number
            self._sets.append(found)
        return number

    def _closure(self, places: Sequence[Place]) -> frozenset[Place]:
        """These places and those that they are, too."""
        if len(places) == 1 and places[0] in self._closures:
            return self._closures[places[0]]
        found, waiting = set(places), list(places)
        while waiting:
            for other in self._skips[waiting.pop()]:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        telling = frozenset(p for p in found if self._edges[p] or p == self._final)
        if len(places) == 1:
            self._closures[places[0]] = telling
        return telling


def _classes(edges: list[list[tuple[int, int, Place]]]) -> tuple[bytearray, int]:
    """The class of each byte, in the order of bytes, and how many there are."""
    cuts = {0}
    for listed in edges:
        for low, high, _ in listed:
            cuts.add(low)
            cuts.add(high + 1)
    classes = bytearray(256)
    number = -1
    for byte in range(256):
        number += byte in cuts
        classes[byte] = number
    return classes, number + 1
