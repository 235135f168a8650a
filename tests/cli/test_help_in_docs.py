"""The command help that the documentation shows is the real one.

Checked are fenced blocks marked ``console`` whose first line is ``$ strongroom ... --help``, in
README.md and docs/*.md. To bring them up to date: ``python tests/cli/test_help_in_docs.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from strongroom.cli import main

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(^```console\n\$ strongroom(?P<words>[^\n]*) --help\n)(?P<shown>.*?)(^```$)", re.M | re.S
)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def help_of(words: list[str]) -> str:
    done = CliRunner().invoke(
        main.cli, [*words, "--help"], prog_name="strongroom", terminal_width=80
    )
    assert done.exit_code == 0, done.output
    return "\n".join(line.rstrip() for line in done.output.splitlines()) + "\n"


def stale(text: str) -> list[str]:
    """The commands in ``text`` whose help is shown otherwise than it is."""
    found = BLOCK.finditer(text)
    return [m["words"].strip() for m in found if m["shown"] != help_of(m["words"].split())]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_help_is_shown_as_it_is(page: Path) -> None:
    assert stale(page.read_text()) == []


def test_every_verb_has_its_help_in_the_reference() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    shown = {match["words"].strip() for match in BLOCK.finditer(text)}
    missing = set(every_command()) - shown
    assert not missing


def test_the_checker_notices_a_difference() -> None:
    good = f"```console\n$ strongroom verify --help\n{help_of(['verify'])}```\n"
    assert BLOCK.search(good)
    assert stale(good) == []
    assert stale(good.replace("Check a sealed", "Check the sealed")) == ["verify"]


def every_command() -> list[str]:
    """``''``, ``init``, ... , ``key create``, ..."""
    found = [""]
    context = main.cli.make_context("strongroom", ["init"], resilient_parsing=True)
    for name in main.Verbs.order:
        verb = main.cli.get_command(context, name)
        found.append(name)
        found += [f"{name} {inner}" for inner in getattr(verb, "commands", {})]
    return found


def refresh() -> None:
    """Write the real help into every block of the documentation."""
    for page in pages():
        text = page.read_text()
        new = BLOCK.sub(lambda m: m[1] + help_of(m["words"].split()) + m[4], text)
        if new != text:
            page.write_text(new)


if __name__ == "__main__":
    refresh()
