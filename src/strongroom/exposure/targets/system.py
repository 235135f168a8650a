"""Targets of attacks on the system around a model: what somebody at one place of it can do.

Five places, each with a narrow object of its own; none leads to another:

- the holder of a sealed model's files alters copies of it and has them opened (``SealedFiles``);
- customers send requests and see answers, refusals and their own clock (``Door``, ``Rounds``);
- who has taken over the gateway speaks to the keeper directly, under any name (``Channel``);
- who can change the machine's memory flips a bit of a running keeper's (``RunningKeeper``);
- a customer whose training data are his own asks for a name for his adapter (``AdapterGate``).

All state in ``spent()`` what was counted; refusals are counted by their codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from strongroom.exposure.targets.interface import Counted


@runtime_checkable
class SealedFiles(Counted, Protocol):
    """A sealed model as a thief or a storage provider has it: all files, no key."""

    def fresh(self) -> Path:
        """A folder with an unaltered copy; who alters a file first replaces it by its own copy."""

    def opens(self, folder: Path) -> str:
        """Have the owner's reader open ``folder``: the refusal's code, empty where it opened."""


@dataclass(frozen=True)
class Load:
    """One request: text to continue by up to ``tokens`` tokens, or ``rows`` rows to classify."""

    prompt: str = ""
    tokens: int = 1
    rows: int = 0


@dataclass(frozen=True)
class Answered:
    """What a request got. ``code``: of the refusal, empty where it was answered.

    ``seconds``: by the caller's clock. ``compute``: processor seconds of the server, which only
    its owner sees. ``units``: tokens generated, or rows classified.
    """

    code: str
    seconds: float
    compute: float = 0.0
    units: int = 0


@runtime_checkable
class Door(Counted, Protocol):
    """The served door for several callers, by the names that the auditor gave their keys."""

    def ask(self, who: str, load: Load) -> Answered:
        """Send one request with the key of ``who``."""


@runtime_checkable
class Rounds(Counted, Protocol):
    """The door beside another tenant, who in each round does or does not what is asked about."""

    def times(self, number: int) -> Sequence[float]:
        """Play round ``number``: seconds that the attacker's own requests took in it."""


@dataclass(frozen=True)
class Greeting:
    """What a keeper tells a gateway, as far as a taken-over one needs it.

    ``outcomes``: entries of the vocabulary, or classes. ``tenants``: rung by name, ``*`` being
    everybody else. ``row``: shape of a classifier's input, empty for a language model.
    """

    outcomes: int
    tenants: Mapping[str, str]
    row: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ask:
    """One frame to the keeper: up to ``amount`` tokens, or ``amount`` rows, with scores or not."""

    tenant: str
    amount: int = 1
    scores: int = 0


@dataclass(frozen=True)
class Heard:
    """All that came back for one ``Ask``: how many choices among how many outcomes each.

    ``code`` is that of a refusal, or how a generation ended.
    """

    choices: Mapping[int, int] = field(default_factory=dict)
    code: str = ""


@runtime_checkable
class Channel(Counted, Protocol):
    """The keeper's own socket, as the gateway holds it."""

    def greeting(self) -> Greeting:
        """What the keeper said first."""

    def exchange(self, asks: Sequence[Ask]) -> Sequence[Heard]:
        """Send all asks at once; what came back for each."""


@dataclass(frozen=True)
class Watched:
    """What became of a keeper that was watched: seconds until it ended, and until it served again.

    Both are infinite where it did not happen.
    """

    wait: float
    afresh: float


@runtime_checkable
class RunningKeeper(Counted, Protocol):
    """A served model, and the memory of the keeper that holds it."""

    def watch(self, flip: bool) -> Watched:
        """Watch it for some rounds of its patrol, after one bit of a weight was flipped, or not."""

    def recorded(self) -> int:
        """How many faults of keepers stand in the record by now."""


@dataclass(frozen=True)
class Judged:
    """What the gate says of an adapter: codes of checks that failed, and what its scan flags."""

    refused: tuple[str, ...]
    flagged: int
    matrices: int


@runtime_checkable
class AdapterGate(Counted, Protocol):
    """The gate of adapters, as a customer meets it who wants a name for his own."""

    def names(self) -> tuple[str, ...]:
        """The adapters that can be asked about."""

    def promoted(self, name: str) -> Judged:
        """Ask for a name for one of them."""
