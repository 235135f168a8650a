"""The whole way: what callers do at a real gateway is what its operators see."""

from __future__ import annotations

import time
import urllib.request

import openai
import pytest

from strongroom.console.reading import Snapshot
from strongroom.console.sources import HomeReader
from strongroom.store.limits import Amounts, Limits

from .conftest import MODEL, Door, OpenDoor

pytest.importorskip("prometheus_client")


def reader(door: Door) -> HomeReader:
    address = door.operators.removeprefix("http://")
    return HomeReader(door.store, door.state, door.verifier, [address], lambda signal: "")


def settled(look: HomeReader) -> Snapshot:
    """A snapshot in which the refusals are written, which happens by the second."""
    for _ in range(200):
        shot = look.snapshot()
        if len(shot.refusals) >= 2 and shot.gateways[0].egress is not None:
            return shot
        time.sleep(0.05)
    raise AssertionError(shot)


def test_requests_and_refusals_reach_the_pages_and_the_metrics(open_door: OpenDoor) -> None:
    door = open_door()
    globex = door.new_key("Globex & Sons")
    door.store.set_organisation_limits("Globex & Sons", Limits(day=Amounts(requests=50)))
    caller = door.client(globex)
    talk = [{"role": "user", "content": "a secret prompt"}]
    for _ in range(3):
        caller.chat.completions.create(model=MODEL, messages=talk)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError):
        caller.chat.completions.create(model=MODEL, messages=talk, logprobs=True)  # type: ignore[arg-type]
    with pytest.raises(openai.AuthenticationError):
        door.client("sr_" + "0" * 16 + "_" + "A" * 43).models.list()
    shot = settled(reader(door))
    (gateway,) = shot.gateways
    assert (gateway.problem, gateway.keeper_up, gateway.model) == ("", True, MODEL)
    (row,) = [each for each in shot.organisations if each.name == "Globex & Sons"]
    assert row.requests_day == 3
    assert row.refused_day == 1
    assert row.output_tokens_day > 0
    assert row.egress_bits_day > 0
    assert [(use.used, use.limit) for use in row.uses] == [(3, 50)]
    assert {each.code for each in shot.refusals} >= {"gateway.invalid_api_key"}
    assert [each.state for each in shot.logs] == ["verified"]
    with urllib.request.urlopen(f"{door.operators}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    assert 'strongroom_requests_finished_total{reason="stop"}' in metrics
    assert 'strongroom_requests_refused_total{code="gateway.invalid_api_key"}' in metrics
    assert "strongroom_log_commit_seconds_count" in metrics
    for secret in ("Globex", "secret prompt", globex):
        assert secret not in metrics
