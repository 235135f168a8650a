"""What leaks through the door: ``python benchmarks/leaks.py``.

31 dangerous request parameters and 7 response fields against a real gateway before a mock keeper,
and against a permissive door as the control. Prints both counts; exit code 1 if anything leaks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from gateway.conftest import RUNGS, Door
from gateway.fake_keeper import TEMPLATE, language_card, small_tokenizer
from gateway.leaks import (
    ASK,
    FIELDS,
    PARAMETERS,
    PermissiveDoor,
    ask,
    leaking_fields,
    leaking_parameters,
)

STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def report(name: str, url: str, key: str) -> int:
    parameters = leaking_parameters(url, key)
    fields = leaking_fields([ask(url, key, body)[1] for body in (ASK, STREAM)])
    print(f"{name}: {len(parameters)} of {len(PARAMETERS)} parameters, ", end="")
    print(f"{len(fields)} of {len(FIELDS)} fields", *parameters, *fields)
    return len(parameters) + len(fields)


def main() -> int:
    tokenizer = small_tokenizer()
    control = PermissiveDoor()
    report("permissive door (control)", control.url, "")
    control.close()
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder), language_card(tokenizer, RUNGS, TEMPLATE), tokenizer)
        leaks = report("strongroom", door.url, door.key)
        door.close()
    return int(leaks > 0)


if __name__ == "__main__":
    sys.exit(main())
