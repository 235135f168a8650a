"""Logs for the tests: made, filled, taken apart."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from strongroom.ledger.entries import AnyEntry, RequestFinal, RequestIntent, Switched
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import LOGS, SEEN, open_log
from strongroom.ledger.writer import LogWriter

NAME = "gateway"


def intent(number: int, organisation: str = "Acme") -> RequestIntent:
    return RequestIntent(
        request=f"r-{number}",
        organisation=organisation,
        key_id="k1",
        route="chat/completions",
        model="small",
        reserved={"requests": 1, "output_tokens": 100},
        model_digest="a" * 64,
        policy_digest="b" * 64,
        input_digest="c" * 64,
    )


def final(number: int, tokens: int = 7) -> RequestFinal:
    return RequestFinal(f"r-{number}", "answered", {"requests": 1, "output_tokens": tokens})


def switched(on: bool = False) -> Switched:
    return Switched("model", "small", on)


@dataclass
class World:
    """A home's state and key, and one log."""

    path: Path
    key: LogKey
    name: str = NAME

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def folder(self) -> Path:
        return self.state / LOGS / self.name

    @property
    def seen(self) -> Path:
        return self.state / SEEN / self.name

    def open(self, **options: float) -> LogWriter:
        return open_log(self.state, self.name, self.key, **options)

    def fill(self, *counts: int, first: int = 0) -> None:
        """Several sessions of the writer, each with so many entries."""
        for count in counts:
            with self.open() as log:
                log_many(log, [intent(first + i) for i in range(count)])
            first += count

    def copy(self, name: str) -> World:
        to = self.path.with_name(name)
        shutil.copytree(self.path, to)
        return World(to, self.key, self.name)


def log_many(log: LogWriter, entries: list[AnyEntry]) -> list[int]:
    """Append all at once from one event loop."""
    import asyncio

    async def run() -> list[int]:
        return list(await asyncio.gather(*(log.append(entry) for entry in entries)))

    return asyncio.run(run())


def make_world(path: Path, *counts: int) -> World:
    (path / "state").mkdir(parents=True)
    world = World(path, LogKey.create(path / "log.key"))
    if counts:
        world.fill(*counts)
    return world
