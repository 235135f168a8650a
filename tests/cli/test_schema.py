"""Schemas of structured output: registered, recorded, served, and answers that fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from strongroom.ledger.entries import SchemaChanged
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records
from tests.cli.conftest import Made, Runs
from tests.cli.test_serve import served
from tests.schemas.shapes import fits

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"enum": ["one", "two"]}},
    "required": ["ok", "n"],
    "additionalProperties": False,
}
NAMED = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def changes(home: Path) -> list[tuple[str, str]]:
    folder, verified = look(home / "state", "operator", LogKey.load(home / "keys/log.key").public)
    found = records(folder, verified.published.size, verified.unpublished)
    entries = [each.entry for each in found]
    return [(e.schema, e.change) for e in entries if isinstance(e, SchemaChanged)]


def test_add_list_remove(strongroom: Runs, made: Made, file: Path, tmp_path: Path) -> None:
    at = ("--home", made.home)
    assert "no schemas" in strongroom(*at, "schema", "list").out
    said = strongroom(*at, "schema", "add", "answer", file, "--json").json
    assert said["name"] == "answer"
    assert said["states"] > 10
    assert strongroom(*at, "schema", "list", "--json").json == {"schemas": [said]}
    assert "answer" in strongroom(*at, "schema", "list").out
    assert strongroom(*at, "schema", "add", "answer", file, "--json").refusal == "cli.schema_exists"
    for name in ("../x", "", "a b", "-a", "x" * 65):
        refused = strongroom(*at, "schema", "add", "--json", "--", name, file)
        assert refused.refusal == "cli.bad_schema_name"
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({**SCHEMA, "properties": {"ok": {"pattern": "(a+)+"}}}))
    refused = strongroom(*at, "schema", "add", "bad", bad, "--json")
    assert (refused.code, refused.refusal) == (5, "schemas.unsupported")
    assert strongroom(*at, "schema", "remove", "answer").code == 0
    assert strongroom(*at, "schema", "remove", "answer", "--json").refusal == "cli.no_schema"
    assert changes(made.home) == [("answer", "registered"), ("answer", "removed")]
    assert strongroom(*at, "log", "verify", "--log", "operator").code == 0


def test_a_folder_of_schemas_that_others_may_enter_is_refused(
    strongroom: Runs, made: Made, file: Path
) -> None:
    strongroom("--home", made.home, "schema", "add", "answer", file)
    (made.home / "schemas").chmod(0o755)
    refused = strongroom("--home", made.home, "schema", "list", "--json")
    assert refused.refusal == "cli.home_exposed"


@pytest.mark.slow
def test_answers_of_a_served_model_fit(strongroom: Runs, made: Made, file: Path) -> None:
    at = ("--home", made.home)
    strongroom(*at, "schema", "add", "answer", file)
    key = strongroom(*at, "key", "create", "--org", "acme", "--json").json["key"]
    with served(made) as server:
        said = server.ready()
        client = openai.OpenAI(base_url=f"{said['url']}/v1", api_key=key, max_retries=0)

        def ask(**more: Any) -> Any:
            return client.chat.completions.create(
                model=said["model"],
                messages=[{"role": "user", "content": "is it?"}],
                temperature=2.0,
                response_format=NAMED,  # type: ignore[arg-type]
                **more,
            )

        for _ in range(5):
            choice = ask().choices[0]
            assert choice.finish_reason == "stop"
            assert fits(SCHEMA, choice.message.content)
        chunks = [chunk.choices[0] for chunk in ask(stream=True)]
        assert fits(SCHEMA, "".join(chunk.delta.content or "" for chunk in chunks))
        assert chunks[-1].finish_reason == "stop"
        assert ask(max_tokens=3).choices[0].finish_reason == "length"
        plain = client.chat.completions.create(
            model=said["model"], messages=[{"role": "user", "content": "is it?"}], temperature=2.0
        )
        with pytest.raises(ValueError):  # positive control: nothing holds this one
            json.loads(plain.choices[0].message.content or "")
        mine = {"name": "answer", "schema": {"type": "object"}}
        with pytest.raises(openai.BadRequestError, match="not the one registered"):
            client.chat.completions.create(
                model=said["model"],
                messages=[{"role": "user", "content": "is it?"}],
                response_format={"type": "json_schema", "json_schema": mine},
            )
