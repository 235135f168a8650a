"""Mutation-test the verifiers: does a test notice when any single check is gone?

Every ``checks.require(...)`` statement under ``src/strongroom/attest`` is found by its syntax tree.
One at a time is replaced by ``pass`` in a temporary copy of the package, and the tests that belong
to the file's folder are run against the copy until the first fails. A check whose absence no test
notices *survives*, which is an error unless docs/attestation.md explains it.

How a verifier maps to its tests: ``src/strongroom/attest/KIND/...`` to ``tests/attest/KIND``, and a
file ``src/strongroom/attest/NAME.py`` to ``tests/attest/test_NAME.py``. Tests named ``*flips*``,
and those marked slow, are left out: the matrix alone must notice.

Run ``python tools/mutation.py [--only KIND] [--list]`` from the checkout; exit code 1 if any check
survives or a folder's tests fail before anything was deleted.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ATTEST = Path("strongroom") / "attest"
SHARED_TESTS = {"dcap": ("dcap", "tdx", "sgx"), "azure": ("azure",)}


@dataclass(frozen=True)
class Site:
    """One statement that makes a check: file below ``src``, lines, number and code."""

    path: Path
    first: int
    last: int
    column: int
    label: str

    @property
    def kind(self) -> str:
        """The verifier's folder, or the file's name."""
        return self.path.relative_to(ATTEST).parts[0].removesuffix(".py")


def sites(source: Path) -> Iterator[Site]:
    """Every statement ``checks.require(...)`` below ``source``, in order."""
    for path in sorted((source / ATTEST).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
            if isinstance(node, ast.Expr) and _is_check(node.value):
                label = " ".join(ast.unparse(part) for part in node.value.args[:2])
                end = node.end_lineno or node.lineno
                yield Site(path.relative_to(source), node.lineno, end, node.col_offset, label)


def without(site: Site, text: str) -> str:
    """The file's text without the check; lines keep their numbers."""
    lines = text.splitlines(keepends=True)
    blank = ["\n"] * (site.last - site.first)
    lines[site.first - 1 : site.last] = [" " * site.column + "pass\n", *blank]
    return "".join(lines)


def tests_of(kind: str) -> list[str]:
    """The test folders or file of a verifier that exist."""
    names = [Path("tests/attest") / name for name in SHARED_TESTS.get(kind, (kind,))]
    names.append(Path("tests/attest") / f"test_{kind}.py")
    return [str(name) for name in names if (ROOT / name).exists()]


def passes(copy: Path, tests: list[str]) -> bool:
    """Whether the tests pass against the package in ``copy``."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "--no-cov", "-p", "no:cacheprovider",
        "-m", "not slow", "-k", "not flips", *tests,
    ]  # fmt: skip
    path = os.pathsep.join([str(copy), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run (exit {done.returncode}):\n{done.stdout[-2000:]}")
    return done.returncode == 0


def run(kinds: list[str], copy: Path) -> int:
    """Delete each check in turn; returns how many survived."""
    survived = killed = 0
    for kind in kinds:
        tests = tests_of(kind)
        if not tests:
            print(f"{kind}: no tests", flush=True)
            survived += 1
            continue
        if not passes(copy, tests):
            raise SystemExit(f"{kind}: its tests fail while every check is there")
        for site in (site for site in sites(ROOT / "src") if site.kind == kind):
            target = copy / site.path
            text = target.read_text(encoding="utf-8")
            target.write_text(without(site, text), encoding="utf-8")
            alive = passes(copy, tests)
            target.write_text(text, encoding="utf-8")
            survived, killed = survived + alive, killed + (not alive)
            state = "SURVIVED" if alive else "killed"
            print(f"{state:8} {site.path}:{site.first} {site.label}", flush=True)
    print(f"{killed} killed, {survived} survived", flush=True)
    return survived


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Delete each check of the verifiers once.")
    parser.add_argument("--only", metavar="KIND", help="a folder of src/strongroom/attest")
    parser.add_argument("--list", action="store_true", help="list the checks and stop")
    chosen = parser.parse_args()
    found = [s for s in sites(ROOT / "src") if chosen.only in (None, s.kind)]
    if not found:
        raise SystemExit("no check found")
    if chosen.list:
        for site in found:
            print(f"{site.path}:{site.first} {site.label}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src" / "strongroom", copy / "strongroom", ignore=ignore)
        return 1 if run(sorted({site.kind for site in found}), copy) else 0


def _is_check(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "require"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "checks"
    )


if __name__ == "__main__":
    sys.exit(main())
