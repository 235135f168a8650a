"""No refusal of key release without a test that names its code; no fewer attacks than were."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r'"(release\.[a-z0-9_]+)"')
ATTACKS = (
    "test_release_attacks.py",
    "test_release_evidence.py",
    "test_release_renewals.py",
    "kbs/test_protocol.py",
    "approvals/test_desk.py",
)


def texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))]


def test_every_code_is_met() -> None:
    codes = {code for text in texts(ROOT / "src/strongroom/release") for code in CODE.findall(text)}
    tested = "".join([*texts(ROOT / "tests/release"), *texts(ROOT / "tests/cli")])
    missing = {code for code in codes if code.partition(".")[2] not in tested}
    assert len(codes) >= 75
    assert not missing


@pytest.mark.parametrize(("name", "least"), [*zip(ATTACKS, (20, 8, 10, 30, 20), strict=True)])
def test_attacks_on_the_protocols_are_many(name: str, least: int) -> None:
    text = (ROOT / "tests/release" / name).read_text(encoding="utf-8")
    assert len(re.findall(r"^def test_", text, re.MULTILINE)) >= least
