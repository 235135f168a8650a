"""``python -m strongroom.keeper --config-fd N``: one keeper process (see ``process``)."""

from __future__ import annotations

import argparse
import json
import os
import sys

from strongroom.errors import StrongroomError


def main() -> int:
    """Run a keeper; the exit code is 0 after an orderly stop."""
    parser = argparse.ArgumentParser(prog="python -m strongroom.keeper", description=__doc__)
    parser.add_argument("--config-fd", type=int, required=True, help="descriptor of the JSON")
    arguments = parser.parse_args()
    from strongroom.keeper.process import Stopped, run

    try:
        run(arguments.config_fd)
    except StrongroomError as error:
        return _report(error.code, error.message, error.action, error.exit_code)
    except Stopped:
        return 0
    except MemoryError:
        action = "Give the machine more memory, or serve a smaller model."
        return _report("keeper.out_of_memory", "The memory did not suffice.", action, 1)
    except Exception as error:  # whatever it says could hold a secret: only its type is told
        message = f"The keeper failed unexpectedly ({_place(error)})."
        return _report("keeper.internal", message, "Report this as a defect.", 1)
    return 0


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + where


def _report(code: str, message: str, action: str, exit_code: int) -> int:
    line = json.dumps({"error": code, "message": message, "action": action}) + "\n"
    sys.stderr.write(line)
    sys.stderr.flush()
    return exit_code


if __name__ == "__main__":
    # The interpreter's own farewell would make calls that lock-down forbids; nothing is left to do.
    os._exit(main())
