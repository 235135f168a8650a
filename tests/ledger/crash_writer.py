"""A writer to be killed: prints each index once it is acknowledged, by every other client as soon
as the entry is written.

``python -m tests.ledger.crash_writer HOME PUBLISH_SECONDS``
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from strongroom.ledger import segments
from strongroom.ledger.log_key import LogKey
from tests.ledger.logs import World, intent


async def run(world: World, publish_seconds: float) -> None:
    log = world.open(publish_seconds=publish_seconds)

    async def client(number: int) -> None:
        while True:
            index = await (log.begin if number % 2 else log.append)(intent(number))
            os.write(1, f"{index} r-{number}\n".encode())
            number += 1_000_000

    await asyncio.gather(*(client(number) for number in range(16)))


if __name__ == "__main__":
    segments.MAX_BYTES = 20_000
    home = Path(sys.argv[1])
    asyncio.run(run(World(home, LogKey.load(home / "log.key")), float(sys.argv[2])))
