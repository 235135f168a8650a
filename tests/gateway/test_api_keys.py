"""Who is let in, and that nobody else learns why they are not."""

from __future__ import annotations

import http.client
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strongroom.gateway.api_keys import CACHE_SECONDS, Authenticator, digest, make_key
from strongroom.gateway.refusals import Refusal
from strongroom.store.interface import KeyRecord

from .conftest import Door


def get(door: Door, headers: dict[str, str], path: str = "/v1/models") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_the_form_of_a_key() -> None:
    key_id, text = make_key()
    assert re.fullmatch(rf"sr_{key_id}_[A-Za-z0-9_-]{{43}}", text)
    assert make_key() != make_key()


def test_the_digest_needs_the_pepper() -> None:
    one, other = digest(b"a" * 32, "sr_x"), digest(b"b" * 32, "sr_x")
    assert len(one) == 32
    assert one != other


def test_every_bad_key_gets_the_same_answer(door: Door) -> None:
    now = datetime.now(UTC)
    _, unknown = make_key()
    flipped = door.key[:-1] + ("A" if door.key[-1] != "A" else "B")
    swapped = door.key[:20] + unknown[20:]
    revoked = door.new_key("acme", revoked_at=now - timedelta(seconds=5))
    expired = door.new_key("acme", expires_at=now - timedelta(seconds=5))
    headers = [
        {"Authorization": f"Bearer {k}"} for k in (unknown, flipped, swapped, revoked, expired)
    ]
    headers += [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {door.key}"},
        {"Authorization": "Bearer sr_x"},
        {"Authorization": f"Bearer {door.key} {door.key}"},
        {"Authorization": f"Bearer {door.key}\xff"},
        {"api-key": door.key},
    ]
    answers = [get(door, h) for h in headers]
    assert {status for status, _ in answers} == {401}
    assert len({json.dumps(body) for _, body in answers}) == 1
    assert answers[0][1]["error"]["code"] == "gateway.invalid_api_key"
    assert get(door, {"Authorization": f"Bearer {door.key}"})[0] == 200
    assert get(door, {"Authorization": f"bearer  {door.key}"})[0] == 200


def test_problem_details_where_it_is_not_openais_api(door: Door) -> None:
    status, body = get(door, {}, "/v2/models/smol")
    assert (status, body["code"]) == (401, "gateway.invalid_api_key")
    assert body["title"] == "Unauthorized"


def test_health_needs_no_key(door: Door) -> None:
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2"):
        assert get(door, {}, path)[0] == 200


def test_revocation_is_felt_within_a_second(door: Door) -> None:
    key = door.new_key("acme")
    header = {"Authorization": f"Bearer {key}"}
    assert get(door, header)[0] == 200
    door.store.revoke_key(key.split("_")[1], datetime.now(UTC))
    time.sleep(CACHE_SECONDS + 0.1)
    assert CACHE_SECONDS < 0.9
    assert get(door, header)[0] == 401


def test_an_id_that_was_unknown_is_not_refused_for_long(door: Door) -> None:
    key_id, key = make_key()
    header = {"Authorization": f"Bearer {key}"}
    assert get(door, header)[0] == 401
    record = KeyRecord(key_id, "acme", "late", digest(door.pepper, key), datetime.now(UTC))
    door.store.add_key(record)
    time.sleep(CACHE_SECONDS + 0.1)
    assert get(door, header)[0] == 200


def test_a_key_expires(door: Door) -> None:
    key = door.new_key("acme", expires_at=datetime.now(UTC) + timedelta(seconds=2))
    assert get(door, {"Authorization": f"Bearer {key}"})[0] == 200
    time.sleep(2.1)
    assert get(door, {"Authorization": f"Bearer {key}"})[0] == 401


def test_the_store_is_asked_once_for_a_busy_key(door: Door) -> None:
    asked = []

    class Counting:
        def key(self, key_id: str) -> Any:
            asked.append(key_id)
            return door.store.key(key_id)

        def organisation(self, name: str) -> Any:
            return door.store.organisation(name)

    authenticator = Authenticator(Counting(), door.pepper)  # type: ignore[arg-type]
    for _ in range(100):
        assert authenticator.authenticate(f"Bearer {door.key}").organisation == "acme"
    assert len(asked) == 1
    with pytest.raises(Refusal):
        Authenticator(door.store, b"x" * 32).authenticate(f"Bearer {door.key}")
