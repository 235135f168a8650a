"""The entry of the command line: finds the verb, turns every ending into a documented exit code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import ClassVar

import click

import strongroom
from strongroom.cli.call import Call, home_option, json_option
from strongroom.cli.output import show_error
from strongroom.errors import StrongroomError

INTERRUPTED = 130

EXIT_CODES = """\b
Exit codes:
    0  done
    1  unexpected failure
    2  wrong usage
    3  a sealed or plain model is not acceptable
    4  a key is missing, wrong or not granted
    5  a home, configuration or argument cannot be used
    6  the machine lacks what is needed
    7  gateway and keeper broke their protocol
    8  a request is not allowed
    9  a log is damaged or does not fit what was seen
   10  evidence about a workload is not genuine or not acceptable
   11  an audit cannot run as asked, or exceeds a gate's limit
  130  interrupted with Ctrl-C
"""


class Verbs(click.Group):
    """A group whose verbs are imported when they are named: ``--help`` stays fast."""

    order: ClassVar[tuple[str, ...]] = (
        "init",
        "seal",
        "inspect",
        "verify",
        "rewrap",
        "serve",
        "tenant",
        "key",
        "switch",
        "schema",
        "watermark",
        "recipient",
        "policy",
        "grant",
        "release",
        "tune",
        "adapter",
        "operator",
        "console",
        "log",
        "attest",
        "audit",
        "report",
        "distil",
        "prove",
        "doctor",
    )

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """All verbs, in the order in which a newcomer meets them."""
        return list(self.order)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb's file."""
        if name not in self.order:
            return None
        verb = importlib.import_module(f"strongroom.cli.{name}").command
        return verb if isinstance(verb, click.Command) else None


@click.command(
    "strongroom",
    cls=Verbs,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 92},
)
@home_option
@json_option
@click.version_option(strongroom.__version__, prog_name="strongroom")
def cli() -> None:
    """Let people use a model without holding it.

    Start with `strongroom init`, then seal a model and serve it.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; returns its exit code."""
    call = Call(json="--json" in arguments)
    try:
        code = cli.main(arguments, prog_name="strongroom", obj=call, standalone_mode=False)
    except click.UsageError as error:
        show_error(_usage(error), as_json=call.json)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except StrongroomError as error:
        _trace()
        show_error(error, as_json=call.json)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return 1
    except Exception as error:
        _trace()
        show_error(_unexpected(error), as_json=call.json)
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: click.UsageError) -> StrongroomError:
    where = error.ctx.command_path if error.ctx else "strongroom"
    return StrongroomError(
        "cli.usage",
        f"The command was not understood: {error.format_message()}",
        action=f"See `{where} --help` for what it takes.",
    )


def _unexpected(error: Exception) -> StrongroomError:
    return StrongroomError(
        "cli.unexpected",
        f"Something failed that should not: {type(error).__name__}.",
        action="Run it again with STRONGROOM_TRACEBACK=1 for the place, and report it.",
    )


def _trace() -> None:
    if os.environ.get("STRONGROOM_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
