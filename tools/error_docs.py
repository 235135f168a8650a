"""Write docs/errors.md: every reason code that the source can raise, with its sentence and remedy.

Run ``python tools/error_docs.py`` after adding a refusal; a test fails when one is missing.
The sentences are read from the source, so that the page cannot drift from what is printed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "strongroom"
PAGE = ROOT / "docs" / "errors.md"
ROOMS = sorted(p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__")
CODE = re.compile(
    rf"^(?:{'|'.join([*ROOMS, 'framing', 'home', 'limits', 'process'])})\.[a-z][a-z0-9_]*$"
)

EXITS = {
    "ArtifactRefused": 3,
    "KeyRefused": 4,
    "ConfigurationRefused": 5,
    "EnvironmentLacks": 6,
    "BoundaryRefused": 7,
    "RequestRefused": 8,
    "LedgerRefused": 9,
    "AttestationRefused": 10,
    "ExposureRefused": 11,
}

ERRORS = {*EXITS, "StrongroomError", "Refusal", "Reason"}


def collect() -> dict[str, tuple[str, str, str]]:
    """Reason code to (where, sentence, remedy), from every place that makes an error of a code."""
    found: dict[str, tuple[str, str, str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {name for node in ast.walk(tree) for name in _imported(node)}
        for node in ast.walk(tree):
            for code, sentence, remedy in _entries(node, modules):
                found[code] = (path.parent.name, sentence, remedy)
            code = _leading_code(node, modules)
            if not code:
                continue
            sentence, remedy = _texts(node)
            if sentence:
                found[code] = (path.parent.name, sentence, remedy)
            elif _makes_error(node):
                found.setdefault(code, (path.parent.name, "", ""))
    return found


def _entries(node: ast.AST, modules: set[str]) -> Iterator[tuple[str, str, str]]:
    """Codes of a table that maps each to its sentence and remedy."""
    if not isinstance(node, ast.Dict):
        return
    for key, value in zip(node.keys, node.values, strict=True):
        told = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == 2 else None
        if told and isinstance(key, ast.Constant) and _is_code(key.value, modules):
            yield str(key.value), _text(told[0]), _text(told[1])


def _makes_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module.removeprefix("strongroom.")]
    return []


def _is_code(value: object, modules: set[str]) -> bool:
    return isinstance(value, str) and bool(CODE.match(value)) and value not in modules


def _leading_code(node: ast.AST, modules: set[str]) -> str:
    """The code that a call or a table's entry begins with, or an empty string."""
    head: ast.AST | None = None
    if isinstance(node, ast.Call) and node.args:
        head = node.args[0]
    elif isinstance(node, ast.Tuple) and len(node.elts) >= 2:
        head = node.elts[0]
    if isinstance(head, ast.Constant) and _is_code(head.value, modules):
        return str(head.value)
    return ""


def _texts(node: ast.AST) -> tuple[str, str]:
    """The sentence and the remedy that stand beside a code."""
    if isinstance(node, ast.Call):
        sentence = _text(node.args[1]) if len(node.args) > 1 else ""
        remedy = next((_text(k.value) for k in node.keywords if k.arg == "action"), "")
        if not remedy and len(node.args) > 2:
            remedy = _text(node.args[2])
        return sentence, remedy
    if isinstance(node, ast.Tuple):
        rest = [_text(e) for e in node.elts[1:3]]
        return rest[0], rest[1] if len(rest) > 1 else ""
    return "", ""


def _text(node: ast.AST) -> str:
    """A string literal, with ``…`` where a value is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def page(codes: dict[str, tuple[str, str, str]]) -> str:
    """The whole page."""
    lines = [
        "# Reason codes",
        "",
        "Every refusal carries a stable code, one sentence saying what happened and one saying",
        "what to do. Scripts may rely on the code; the sentences may improve. It is written by",
        "`tools/error_docs.py` from the source; `…` stands for what is filled in.",
        "",
        "The command line's exit code follows from the kind of refusal:",
        "",
        "| kind | exit code |",
        "|---|---|",
        "| success | 0 |",
        "| unexpected error (a defect: please report it) | 1 |",
        "| wrong usage of a command | 2 |",
        *(f"| `{kind}` | {code} |" for kind, code in EXITS.items()),
        "| interrupted | 130 |",
        "",
    ]
    room = ""
    for code, (_where, sentence, remedy) in sorted(codes.items()):
        if code.partition(".")[0] != room:
            room = code.partition(".")[0]
            lines += [
                "",
                f"## {room}",
                "",
                "| code | what happened | what to do |",
                "|---|---|---|",
            ]
        cells = [c.replace("|", "\\|").replace("\n", " ") for c in (sentence, remedy)]
        lines.append(f"| `{code}` | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page(collect())
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {text.count('| `')} rows\n")
