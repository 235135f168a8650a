"""How long the gateway takes to refuse each hostile body: ``python benchmarks/bodies.py``.

Timed is what runs on the event loop after a body of 1 MiB has arrived, up to the refusal: parsing,
schema, meaning, characters, duplicate keys, length. The transfer is the network's. The best and
the median of 20 runs, in milliseconds; the mark is 5.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from gateway.fake_keeper import TEMPLATE, language_card, small_tokenizer  # noqa: E402
from gateway.hostile_bodies import VALID, bodies  # noqa: E402

from strongroom.gateway.refusals import Refusal  # noqa: E402
from strongroom.gateway.schema import chat_generation  # noqa: E402
from strongroom.gateway.served_model import ServedModel  # noqa: E402
from strongroom.gateway.strict_json import check_unique, parse_object  # noqa: E402
from strongroom.gateway.text_rules import TextPolicy  # noqa: E402

RUNS = 20
MARK_MS = 5.0


def judge(model: ServedModel, body: bytes) -> str:
    """The code with which ``body`` is refused; the steps are those of the chat route."""
    try:
        generation = chat_generation(parse_object(body), 0, model.text)
        model.require(generation.model)
        asyncio.run(model.tokens(generation))
        check_unique(body)
    except Refusal as refusal:
        return refusal.code
    return "accepted"


def main() -> int:
    model = ServedModel(
        "smol", language_card(small_tokenizer(), {"*": "text"}, TEMPLATE), TextPolicy()
    )
    if judge(model, VALID) != "accepted":
        raise SystemExit("the positive control is refused")
    slow = 0
    print(f"{'body':36}{'best':>8}{'median':>8}  refused with")
    for name, body in bodies().items():
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            code = judge(model, body)
            times.append((time.perf_counter() - started) * 1e3)
        median = statistics.median(times)
        slow += median >= MARK_MS
        print(f"{name:36}{min(times):8.2f}{median:8.2f}  {code}")
    print(f"{slow} of {len(bodies())} at or above {MARK_MS:g} ms")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
