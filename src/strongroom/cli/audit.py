"""``strongroom audit``: what an attacker gains of this model, as it is exposed."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from strongroom.cli import output
from strongroom.cli.call import Call, home_option, passphrase_option

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.exposure.gate import Gate
    from strongroom.exposure.results import Results

_FILE = click.Path(path_type=Path, dir_okay=False)
_DEMO = ("demo", "demo-classifier", "demo-language")


def _names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name for name in value.split(",") if name)


@click.command("audit")
@click.argument("sealed", type=click.Path())
@click.option(
    "--data",
    metavar="DATA",
    type=_FILE,
    help="What it was trained on and what not: .npz or JSON lines (docs/measurement.md).",
)
@click.option(
    "--base",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The public base of a fine-tuned language model, if attackers can have it.",
)
@click.option(
    "--rungs",
    metavar="NAME[,NAME]...",
    default="",
    callback=_names,
    help="Only these rungs of the ladder.",
)
@click.option(
    "--attacks",
    metavar="NAME[,NAME]...",
    default="",
    callback=_names,
    help="Only attacks or families that begin so.",
)
@click.option(
    "--budget",
    type=click.Choice(["quick", "standard", "deep"]),
    default="quick",
    show_default=True,
    help="How much the attackers may spend.",
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, help="Of everything random.")
@click.option(
    "--gate",
    "gate_file",
    metavar="FILE",
    type=_FILE,
    help="Fail with exit code 11 where a limit in this TOML file is exceeded.",
)
@click.option(
    "--json",
    "json_out",
    metavar="[OUT]",
    is_flag=False,
    flag_value="-",
    help="Write the signed results to OUT; without OUT print them and nothing else.",
)
@click.option("--html", metavar="OUT", type=_FILE, help="Write the report as one HTML file.")
@click.option("--sarif", metavar="OUT", type=_FILE, help="Write SARIF 2.1.0 for CI.")
@click.option("--bom", metavar="OUT", type=_FILE, help="Write a CycloneDX 1.6 ML-BOM.")
@click.option("--endpoint-model", metavar="NAME", default="", help="The model's name there.")
@click.option(
    "--endpoint-key", metavar="FILE", type=_FILE, help="A private file that holds the API key."
)
@click.option(
    "--endpoint-route",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    help="How an endpoint is asked.",
)
@click.option(
    "--i-own-this-endpoint",
    is_flag=True,
    help="You have the right to test an address that is not this machine's.",
)
@click.option(
    "--evidence",
    metavar="FILE",
    type=_FILE,
    multiple=True,
    help="A statement or result of another verb, shown beside the matrix; may be repeated.",
)
@click.option("--fresh", is_flag=True, help="Measure again what an interrupted audit finished.")
@passphrase_option
@home_option
@click.pass_obj
def command(
    call: Call,
    sealed: str,
    data: Path | None,
    base: Path | None,
    rungs: tuple[str, ...],
    attacks: tuple[str, ...],
    budget: str,
    seed: int,
    gate_file: Path | None,
    json_out: str | None,
    html: Path | None,
    sarif: Path | None,
    bom: Path | None,
    endpoint_model: str,
    endpoint_key: Path | None,
    endpoint_route: Literal["completions", "chat"],
    i_own_this_endpoint: bool,
    evidence: tuple[Path, ...],
    fresh: bool,
    passphrase_file: Path | None,
) -> None:
    """Attack a sealed model at every rung and say what was gained.

    Rungs that the sealed policy grants to somebody are attacked through a real server, started for
    the audit in a home of its own; the others in this process. What is measured is kept as it
    comes: an interrupted audit goes on where it stopped. With `demo` in place of SEALED the
    project's own models are made, sealed and audited (`demo-classifier` and `demo-language`: one of
    them); no home is needed. A folder of that name is `./demo`. With the http(s) address of an
    OpenAI-compatible endpoint, that model is asked where it is.
    """
    from strongroom.cli.auditing import Asked
    from strongroom.cli.auditing_endpoint import is_endpoint, reached
    from strongroom.cli.home import open_home
    from strongroom.exposure.gate import read_gate

    _require_extra()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that server and folder go, too
    call.json = json_out == "-"
    gate = None if gate_file is None else read_gate(gate_file)
    outputs = Outputs(call, gate, json_out, html, sarif, bom)
    asked = Asked(
        Path(sealed),
        data,
        rungs,
        attacks,
        budget,
        seed,
        fresh,
        passphrase_file,
        _cache_folder(),
        base,
        evidence=evidence,
    )
    if sealed in _DEMO:  # whether or not a folder is called so: a checkout has one
        from strongroom.cli.audit_demo import demo

        demo(sealed, asked, outputs)
        return
    if is_endpoint(sealed):
        there = reached(
            sealed,
            model=endpoint_model,
            key_file=endpoint_key,
            route=endpoint_route,
            owned=i_own_this_endpoint,
        )
        asked = replace(asked, shown=there.url, endpoint=there)
    home = open_home(call.home_path)
    outputs.write(home, outputs.measured(home, asked))


class Outputs:
    """Where results go, and the gate that they must pass."""

    def __init__(
        self,
        call: Call,
        gate: Gate | None,
        json_out: str | None,
        html: Path | None,
        sarif: Path | None,
        bom: Path | None,
    ) -> None:
        self._call = call
        self._gate = gate
        self._json = json_out
        self._files = {"html": html, "sarif": sarif, "bom": bom}

    def measured(self, home: Home, asked: Any) -> Results:
        """The results, with progress shown."""
        from strongroom.cli.audit_showing import telling
        from strongroom.cli.auditing import measure

        with telling(quiet=self._call.json) as progress:
            return measure(home, asked, progress)

    def write(self, home: Home, results: Results, suffix: str = "") -> None:
        """Show, write and judge.

        Raises:
            ExposureRefused: ``exposure.gate_failed``, after everything was written.
        """
        from strongroom.cli.audit_key import signed
        from strongroom.cli.audit_showing import show
        from strongroom.exposure.gate import exceeded
        from strongroom.exposure.reasons import refuse
        from strongroom.report import cyclonedx, html, sarif

        envelope = signed(home, results)
        if self._json == "-":
            click.echo(envelope.decode())
        else:
            show(results)
            if self._json:
                write_file(Path(self._json), envelope, suffix)
        makers = {"html": html.render, "sarif": sarif.render, "bom": cyclonedx.render}
        for name, path in self._files.items():
            if path is not None:
                write_file(path, makers[name](results), suffix)
        lines = [] if self._gate is None else exceeded(self._gate, results)
        for line in lines:
            output.note(f"Gate: {line}")
        if lines:
            raise refuse("exposure.gate_failed", count=len(lines))
        if self._gate is not None and not self._call.json:
            click.echo(f"The gate's {len(self._gate.limit)} limits hold.")


def write_file(path: Path, content: bytes, suffix: str = "") -> None:
    """Write a file, ``suffix`` before its ending."""
    target = path.with_name(f"{path.stem}{suffix}{path.suffix}") if suffix else path
    try:
        target.write_bytes(content)
    except OSError as error:
        from strongroom.errors import ConfigurationRefused

        raise ConfigurationRefused(
            "cli.cannot_write",
            f"{target} cannot be written: {error.strerror}.",
            action="Name a file in a folder that exists.",
        ) from None


def _cache_folder() -> Path:
    from strongroom.exposure.demo.classifier import cache_folder

    return cache_folder()


def _require_extra() -> None:
    from importlib.util import find_spec

    from strongroom.errors import EnvironmentLacks

    wanted = ("torch", "jinja2", "uvicorn", "tokenizers")
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise EnvironmentLacks(
            "cli.missing_extra",
            f"Auditing needs packages that are not installed: {', '.join(missing)}.",
            action="Install strongroom with the extra: pip install 'strongroom[audit]'.",
        )
