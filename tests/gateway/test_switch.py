"""What is switched off ends within a second, also in the middle of a stream, and is recorded."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import openai
import pytest

from strongroom.boundary.frames import Cancel
from strongroom.ledger.entries import RequestFinal
from strongroom.store.interface import Switch, SwitchKind

from .conftest import MODEL, Door, OpenDoor

ASK = [{"role": "user", "content": "hello"}]
OFF = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "name"), [("model", MODEL), ("tenant", "acme")])
def test_a_stream_under_way_is_ended(open_door: OpenDoor, kind: SwitchKind, name: str) -> None:
    door = open_door()
    other = door.client(door.new_key("other"))
    door.keeper.answer, door.keeper.pause = "one two three " * 200, 0.02
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    chunks = iter(stream)
    next(chunks)
    door.store.switch_off(Switch(kind, name, OFF))
    thrown = time.monotonic()
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert time.monotonic() - thrown < 1.0
    assert caught.value.code == "gateway.switched_off"
    assert any(isinstance(frame, Cancel) for frame in door.keeper.frames)
    final = [each for each in door.records() if isinstance(each, RequestFinal)][-1]
    assert (final.outcome, final.code) == ("stopped", "gateway.switched_off")
    assert final.settled["output_tokens"] > 0
    refused(door, door.client())
    door.keeper.pause = 0.0
    if kind == "tenant":  # nobody else notices
        assert other.chat.completions.create(model=MODEL, messages=ASK, max_tokens=1).choices
    door.store.switch_on(kind, name)
    time.sleep(1.0)
    answer = door.client().chat.completions.create(model=MODEL, messages=ASK, max_tokens=1)
    assert answer.choices


def refused(door: Door, client: openai.OpenAI) -> None:
    before = len(door.keeper.generated())
    with pytest.raises((openai.PermissionDeniedError, openai.InternalServerError)) as caught:
        client.chat.completions.create(model=MODEL, messages=ASK)
    assert caught.value.code == "gateway.switched_off"
    assert len(door.keeper.generated()) == before


def test_a_store_that_cannot_be_read_shows_in_readiness(open_door: OpenDoor) -> None:
    import httpx2

    door = open_door()
    assert httpx2.get(f"{door.url}/readyz").json() == {
        "ready": True,
        "keeper": True,
        "record": True,
        "store": True,
    }
    for name in ("keys.sqlite3", "keys.sqlite3-wal"):
        path = door.folder / name
        path.write_bytes(b"no database" * 1000)
    until = time.monotonic() + 6
    while httpx2.get(f"{door.url}/readyz").status_code != 503:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert httpx2.get(f"{door.url}/readyz").json()["store"] is False
    assert httpx2.get(f"{door.url}/healthz").status_code == 200
