"""The walls of the house hold: who imports whom, and what may never appear in the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "strongroom").rglob("*.py"))
HEAVY = {"torch", "numpy", "cryptography", "msgspec", "click", "rich", "uvicorn", "blake3"}


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_importing_strongroom_imports_no_dependency() -> None:
    code = "import sys, strongroom; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "strongroom" in loaded
    assert not loaded & HEAVY


def test_there_is_source_to_check() -> None:
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_source_habits(path: Path) -> None:
    """No ``assert`` for checks (python -O drops it), no pickle, no eval, and a docstring on top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says what lives in it"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or node.names[0].name
            assert module.partition(".")[0] not in {"pickle", "marshal", "shelve", "dill"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}, f"eval at line {node.lineno}"


def test_files_stay_readable_in_one_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 400}
    assert not long, f"past 400 lines, ask what the second thing is: {long}"


def test_every_refusal_code_is_documented() -> None:
    """Codes that the source can raise appear in docs/errors.md, so that nobody meets an unknown."""
    documented = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    missing = sorted(code for code in refusal_codes() if f"`{code}`" not in documented)
    assert not missing, f"run `python tools/error_docs.py` to add: {missing}"


def test_every_refusal_code_has_its_sentence() -> None:
    silent = [code for code, (_, sentence, _) in refusal_codes().items() if not sentence]
    assert not silent, f"write the sentence beside the code: {silent}"


def refusal_codes() -> dict[str, tuple[str, str, str]]:
    sys.path.insert(0, str(ROOT / "tools"))
    from error_docs import collect

    return collect()
