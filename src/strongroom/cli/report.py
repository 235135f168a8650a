"""``strongroom report``: results of audits, compared and rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.report.compare import Change

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("report")
def command() -> None:
    """Compare the results of audits, render them again, check who signed them."""


@command.command("compare")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@shared_options
@click.pass_obj
def compare(call: Call, before: Path, after: Path) -> None:
    """Show what a control bought: cells of BEFORE and AFTER side by side.

    Both are files that `strongroom audit --json` wrote. Signatures are not looked at here: see
    `report verify`.
    """
    from strongroom.exposure.results import read
    from strongroom.report.compare import changes

    found = changes(read(before), read(after))
    rows = [_row(change) for change in found]
    if call.json:
        output.print_json({"changes": rows})
        return
    output.print_table(("attack", "rung", "metric", "before", "after", "change", "severity"), rows)


@command.command("html")
@click.argument("results", type=_FILE)
@click.argument("out", type=_FILE)
@shared_options
@click.pass_obj
def html(call: Call, results: Path, out: Path) -> None:
    """Render RESULTS, a file that `strongroom audit --json` wrote, as the HTML file OUT."""
    from strongroom.cli.audit import write_file
    from strongroom.exposure.results import read
    from strongroom.report.html import render

    write_file(out, render(read(results)))
    if call.json:
        output.print_json({"written": str(out)})
    else:
        click.echo(f"Wrote {out}.")


@command.command("verify")
@click.argument("results", type=_FILE)
@click.option(
    "--key", metavar="FILE", type=_FILE, help="The signer's audit.pub.  [default: this home's]"
)
@shared_options
@click.pass_obj
def verify(call: Call, results: Path, key: Path | None) -> None:
    """Check that a home's audit key signed RESULTS."""
    from strongroom.cli.home import open_home
    from strongroom.exposure.reasons import refuse
    from strongroom.exposure.results import decode
    from strongroom.report import statement

    path = key or open_home(call.home_path).keys / "audit.pub"
    try:
        public = bytes.fromhex(path.read_text(encoding="ascii").strip())
        found = decode(statement.verify(results.read_bytes(), public))
    except OSError as error:
        raise refuse("exposure.results_altered", path=results, why=error.strerror) from None
    except ValueError as error:
        raise refuse("exposure.results_altered", path=results, why=error) from None
    if call.json:
        output.print_json({"ok": True, "model": found.model.name, "digest": found.model.digest})
        return
    click.echo(f"Good: results of {found.model.name}, release {found.model.release}.")


def _row(change: Change) -> dict[str, Any]:
    return {
        "attack": change.attack,
        "rung": change.rung,
        "metric": change.metric,
        "before": change.before,
        "after": change.after,
        "change": change.difference,
        "severity": change.severity,
    }
