"""Public texts near the demonstration's: docstrings of the standard library.

They are read from the interpreter's own sources when asked for (PSF licence), never copied into the
project. The passages of ``language_text`` come from the language reference, which is none of them.
"""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LEAST: Final = 200
"""Characters of a docstring, below which it is left out."""

_APART = {"idlelib", "lib2to3", "site-packages", "test", "tests"}
_NODES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(seed: int) -> list[str]:
    """Each once, in a random order."""
    found = list(dict.fromkeys(_all(Path(sysconfig.get_path("stdlib")))))
    random.Random(seed).shuffle(found)  # noqa: S311 (an order, not a key)
    return found


def _all(library: Path) -> Iterator[str]:
    for path in sorted(library.rglob("*.py")):
        if _APART & set(path.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError):  # such as templates, or in another encoding
            continue
        for node in ast.walk(tree):
            said = ast.get_docstring(node) if isinstance(node, _NODES) else None
            if said and len(said) >= LEAST:
                yield said
