"""Every item of the shared evidence is what its manifest says, and meets a test.

The verdict on each stands in the tests of its kind (``test_genuine``, ``test_real``, ...); here no
item can be added, altered or left aside unseen.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

READERS = (
    "snp/test_genuine.py",
    "azure/test_azure.py",
    "tdx/test_real.py",
    "sgx/test_semantic.py",
    "nitro/test_semantic.py",
    "nvidia/test_genuine.py",
    "tpm/test_bundles.py",
    "test_roots.py",
)
"""The modules that judge genuine items."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "attestation"


def test_the_items_are_those_of_the_manifest(folder: Path, opened: set[str]) -> None:
    before = set(opened)
    for entry in json.loads((folder / "MANIFEST.json").read_bytes()):
        content = (folder / entry["file"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    opened.intersection_update(before)  # to be hashed is not to be judged


def test_no_item_is_passed_over(
    request: pytest.FixtureRequest, folder: Path, opened: set[str]
) -> None:
    ran = {str(item.path) for item in request.session.items}
    if not all(any(path.endswith(name) for path in ran) for name in READERS):
        pytest.skip("the tests that judge genuine items did not all run")
    names = {entry["file"] for entry in json.loads((folder / "MANIFEST.json").read_bytes())}
    assert len(names) > 50
    assert names <= opened
