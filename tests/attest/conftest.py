"""Which files of the shared evidence the tests open: ``test_manifest`` asks at the end."""

from __future__ import annotations

import sys
from typing import Any

import pytest

FOLDER = "/shared/data/attestation/"
OPENED: set[str] = set()
"""Names below that folder."""


def _note(event: str, arguments: Any) -> None:
    if event == "open" and isinstance(arguments[0], str) and FOLDER in arguments[0]:
        OPENED.add(arguments[0].rpartition(FOLDER)[2])


sys.addaudithook(_note)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks stands last."""
    items.sort(key=lambda item: item.name == "test_no_item_is_passed_over")


@pytest.fixture
def opened() -> set[str]:
    """What was opened so far in this run."""
    return OPENED
