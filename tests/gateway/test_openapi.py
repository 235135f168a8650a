"""The door keeps what its OpenAPI document says, whatever schemathesis sends."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tokenizers import Tokenizer

from strongroom.boundary.frames import ModelCard
from strongroom.gateway.embeddings_api import EmbeddingRequest
from strongroom.gateway.openapi import document
from strongroom.gateway.schema import ChatRequest, CompletionRequest
from strongroom.tune.policy import Tuning

from .conftest import MODEL, Door

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES = 60
"""Of each operation, beside those that cover its schema's edges."""


def served(door: Door) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request("GET", "/openapi.json")
    response = connection.getresponse()
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.read())
    return found


def test_it_is_served_without_a_key(door: Door) -> None:
    assert served(door) == json.loads(document(MODEL))


def test_its_schemas_are_those_of_the_types(door: Door) -> None:
    schemas = served(door)["components"]["schemas"]
    for kind in (ChatRequest, CompletionRequest, EmbeddingRequest):
        described = schemas[kind.__name__]
        assert set(described["properties"]) == set(kind.__struct_fields__)
        assert described["additionalProperties"] is False


def test_every_path_is_a_route_and_every_route_a_path(door: Door) -> None:
    paths = served(door)["paths"]
    for path, operations in paths.items():
        (method,) = operations
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
        connection.request("DELETE", path)
        response = connection.getresponse()
        assert (response.status, response.headers["allow"]) == (405, method.upper()), path
    source = Path(sys.modules["strongroom.gateway.openapi"].__file__ or "").with_name("app.py")
    routes = source.read_text(encoding="utf-8").split("self._routes", 1)[1].split("}\n", 1)[0]
    assert len(paths) == routes.count('("GET"') + routes.count('("POST"') + 1  # /v1/models/{id}


def fuzz(door: Door, folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("schemathesis")
    described = folder / "openapi.json"
    described.write_bytes(msgspec.json.encode(served(door)))
    options = {
        "--url": door.url,
        "--header": f"Authorization: Bearer {door.key}",
        "--checks": ",".join(CHECKS),
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": str(EXAMPLES),
        "--seed": "7",
        "--generation-database": "none",
        "--request-timeout": "20",
    }
    flags = [word for pair in options.items() for word in pair]
    return subprocess.run(
        [command, "run", described, *flags, "--no-color", "--continue-on-failure"],
        capture_output=True, text=True, timeout=240, cwd=folder, check=False,
    )  # fmt: skip


needs_schemathesis = pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="schemathesis is not installed"
)


@pytest.fixture
def tuning_door(tmp_path: Path, card: ModelCard, tokenizer: Tokenizer) -> Iterator[Door]:
    folder = tmp_path / "tuned"
    folder.mkdir()
    limits = Tuning(offered=True, most_file_bytes=100_000)
    door = Door(folder, card, tokenizer, tuning=limits, tuning_database=str(folder / "t.sqlite"))
    yield door
    door.close()


@pytest.mark.slow
@needs_schemathesis
@pytest.mark.parametrize("kind", ["door", "classifier_door", "tuning_door"])
def test_schemathesis_finds_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    done = fuzz(request.getfixturevalue(kind), tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    generated, passed = re.findall(r"([0-9]+) generated, ([0-9]+) passed", done.stdout)[0]
    assert generated == passed
    assert int(generated) > 500


@pytest.mark.slow
@needs_schemathesis
def test_positive_control_schemathesis_sees_an_undocumented_status(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run against a document that keeps 400 to itself must fail."""
    lacking = served(door)
    lacking["paths"] = {"/v1/completions": lacking["paths"]["/v1/completions"]}
    del lacking["paths"]["/v1/completions"]["post"]["responses"]["400"]
    monkeypatch.setattr(sys.modules[__name__], "served", lambda _door: lacking)
    done = fuzz(door, tmp_path)
    assert done.returncode == 1
    assert "Received: 400" in done.stdout, done.stdout
