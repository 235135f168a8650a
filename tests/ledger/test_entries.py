"""Entries: canonical, closed, and without room for what may not be in them."""

from __future__ import annotations

import json
import typing
from typing import Any

import msgspec
import pytest
import rfc8785

from strongroom.errors import StrongroomError
from strongroom.ledger import entries
from strongroom.ledger.entries import AnyEntry, Recorded, Refused, SessionChanged, TuningChanged
from strongroom.ledger.release_entries import KeyReleased
from tests.ledger.logs import final, intent, switched

KINDS = typing.get_args(AnyEntry)
SAMPLES: list[AnyEntry] = [
    intent(1, "Größe & Söhne"),
    final(1),
    switched(),
    TuningChanged("ftjob-1", "acme", "m", "a" * 64, "b" * 64, "sealed", "k", "c" * 64),
    SessionChanged("session-1", "acme", "m", "a" * 64, "over", 3, code="tune.diverged"),
    Refused("r-9", "gateway.bad_parameter", 400),
    KeyReleased(
        "d", "k", "keyring", "a" * 64, "b" * 64, "local", "c" * 64, "SOFTWARE-ONLY", 5, "s"
    ),
]


@pytest.mark.parametrize("entry", SAMPLES, ids=lambda entry: type(entry).__name__)
def test_canonical_and_back(entry: AnyEntry) -> None:
    recorded = Recorded(3, 1_700_000_000_000, entry)
    raw = entries.encode(recorded)
    assert raw == rfc8785.dumps(json.loads(raw))
    assert entries.decode(raw) == recorded


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_text_has_a_bound(kind: Any) -> None:
    """No field takes free text: each string has a pattern or a fixed set, each number a range."""
    for field in msgspec.structs.fields(kind):
        schema = msgspec.json.schema(field.type)
        if schema.get("type") == "string":
            assert "pattern" in schema, field.name
            assert "maxLength" in schema or schema["pattern"].count("{") > 0, field.name
        elif schema.get("type") == "object":
            assert schema["additionalProperties"]["type"] == "integer"
            assert schema["maxProperties"] <= 24
        else:
            assert schema.get("type") in {"integer", "boolean"} or "enum" in schema, field.name


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b'{"at":1,"entry":{"type":"Unheard"},"index":0}',
        b'{"at":1,"entry":{"on":true,"prompt":"x","subject":"m","subject_kind":"model",'
        b'"type":"Switched"},"index":0}',
        b'{"at":1,"entry":{"on":true,"subject":"\xff","subject_kind":"model","type":"Switched"},'
        b'"index":0}',
    ],
)
def test_what_is_no_entry(raw: bytes) -> None:
    with pytest.raises(StrongroomError) as error:
        entries.decode(raw)
    assert error.value.code == "ledger.unknown_entry"
