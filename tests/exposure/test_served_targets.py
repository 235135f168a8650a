"""Served targets against a door that answers, refuses, makes wait, and breaks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.logit_bias import LogitBias, LogitBiasRankings
from strongroom.exposure.interface import Budget, Knows
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.http import require_right
from strongroom.exposure.targets.served_classifier import open_served_classifier
from strongroom.exposure.targets.served_embeddings import open_served_embeddings
from strongroom.exposure.targets.served_text import open_served_text

from .language import tiny

LABELS = ("cat", "dog", "eel")
BUDGET = Budget(queries=200, seconds=5)


class Fake:
    """What the next requests are answered with: (status, headers, body), else a good answer."""

    def __init__(self) -> None:
        self.next: list[tuple[int, dict[str, str], bytes]] = []
        self.bodies: list[dict[str, Any]] = []
        self.url = ""


def infer(body: dict[str, Any]) -> dict[str, Any]:
    rows = body["inputs"][0]["shape"][0]
    width = len(body["inputs"][0]["data"]) // rows
    first = [int(body["inputs"][0]["data"][n * width]) for n in range(rows)]
    outputs = [{"name": "label", "shape": [rows], "data": [LABELS[n % 3] for n in first]}]
    if {"name": "scores"} in body["outputs"]:
        scores = [float(n == m % 3) for m in first for n in range(3)]
        outputs.append({"name": "scores", "shape": [rows, 3], "data": scores})
    return {"outputs": outputs}


def complete(body: dict[str, Any]) -> dict[str, Any]:
    text = f"said {body['prompt']}"
    choice: dict[str, Any] = {"text": text}
    if "logprobs" in body:
        choice["logprobs"] = {
            "tokens": ["said"],
            "token_logprobs": [-0.1],
            "top_logprobs": [{"other": -3.0, "said": -0.1}],
        }
    return {"choices": [choice], "usage": {"completion_tokens": 2}}


class Server(ThreadingHTTPServer):
    """Sixteen connections come at once, and a busy machine is slow to accept them."""

    request_queue_size = 64


@pytest.fixture
def door() -> Iterator[Fake]:
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.headers["authorization"] == "Bearer sr_secret"
            fake.bodies.append(body)
            if fake.next:
                status, headers, raw = fake.next.pop(0)
            else:
                made = infer(body) if "infer" in self.path else complete(body)
                status, headers, raw = 200, {}, json.dumps(made).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    server.server_close()


def classifier(door: Fake, rung: Rung = Rung.LABEL, budget: Budget = BUDGET) -> Any:
    return open_served_classifier(door.url, "sr_secret", "m", LABELS, rung, budget)


def rows(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32).reshape(count, 1)


def refusal(code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return 429, named, json.dumps({"code": code, "error": "no"}).encode()


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ExposureRefused) as caught:
        yield
    assert caught.value.code == code
    assert "sr_secret" not in str(caught.value)


def test_answers(door: Fake) -> None:
    target = classifier(door)
    assert target.labels(rows(100)).tolist() == [n % 3 for n in range(100)]
    assert [body["inputs"][0]["shape"][0] for body in door.bodies] == [64, 36]
    assert target.spent().queries == 100
    logits = classifier(door, Rung.LOGITS).logits(rows(4))
    assert logits.argmax(1).tolist() == [0, 1, 2, 0]
    with pytest.raises(AttributeError):
        target.logits  # noqa: B018
    with pytest.raises(AttributeError):
        target._door  # noqa: B018


def test_waiting_is_obeyed_counted_and_bounded(door: Fake) -> None:
    door.next = [refusal("gateway.limit_reached", retry_after="0.2")]
    target = classifier(door)
    assert len(target.labels(rows(2))) == 2
    spent = target.spent()
    assert spent.refusals == {"gateway.limit_reached": 1}
    assert spent.waited_seconds == pytest.approx(0.2)
    door.next = [refusal("keeper.egress_exhausted", retry_after="3600")]
    with refused("exposure.time_spent"):
        target.labels(rows(2))
    door.next = [refusal("keeper.egress_exhausted", retry_after="2")]  # of five seconds in all
    with refused("exposure.time_spent"):
        target.labels(rows(2))
    assert target.spent().waited_seconds == pytest.approx(0.2)
    door.next = [refusal("keeper.egress_exhausted", retry_after="0.05")] * 5
    with refused("exposure.time_spent"):
        target.labels(rows(2))
    assert len(door.next) == 3


def test_what_waiting_does_not_help(door: Fake) -> None:
    target = classifier(door)
    door.next = [refusal("gateway.limit_too_small", x_should_retry="false")]
    with refused("exposure.endpoint_refused"):
        target.labels(rows(1))
    door.next = [(403, {}, b'{"error": {"code": "gateway.output_not_allowed"}}')]
    with refused("exposure.endpoint_refused"):
        target.labels(rows(1))
    assert target.spent().refusals["gateway.output_not_allowed"] == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"outputs": []}',
        b'{"outputs": [{"name": "label", "data": ["cow"]}]}',
    ],
)
def test_answers_that_are_none(door: Fake, raw: bytes) -> None:
    door.next = [(200, {}, raw)] * 2
    with refused("exposure.endpoint_failed"):
        classifier(door).labels(rows(1))


def test_the_budget_is_kept_before_the_door_is_asked(door: Fake) -> None:
    target = classifier(door, budget=Budget(queries=70, seconds=5))
    with refused("exposure.budget_spent"):
        target.labels(rows(130))
    assert len(door.bodies) == 1


def test_a_door_that_has_gone() -> None:
    target = open_served_classifier(
        "http://127.0.0.1:9", "sr_secret", "m", LABELS, Rung.LABEL, BUDGET
    )
    with refused("exposure.endpoint_failed"):
        target.labels(rows(1))


def test_text(door: Fake) -> None:
    target = open_served_text(door.url, "sr_secret", "m", Rung.TEXT, BUDGET)
    prompts = [f"p{n}" for n in range(20)]
    assert target.complete(prompts, max_tokens=4) == [f"said p{n}" for n in range(20)]
    spent = target.spent()
    assert (spent.queries, spent.tokens) == (20, 40)
    scored = open_served_text(door.url, "sr_secret", "m", Rung.TOPK, BUDGET)
    (said,) = scored.complete_scored(["x"], max_tokens=1, top=2)
    assert said.top == ((("said", -0.1), ("other", -3.0)),)
    assert not hasattr(target, "complete_scored")


def test_a_bias_is_sent_by_token_id_and_a_door_that_refuses_it_ends_the_attack(door: Fake) -> None:
    target = open_served_text(door.url, "sr_secret", "m", Rung.TOPK, BUDGET)
    (said,) = target.biased(["x"], [{7: 60.0, 9: 55.5}], top=2)
    assert said == (("said", -0.1), ("other", -3.0))
    assert door.bodies[-1]["logit_bias"] == {"7": 60.0, "9": 55.5}
    assert door.bodies[-1]["max_tokens"] == 1
    plain = open_served_text(door.url, "sr_secret", "m", Rung.TEXT, BUDGET)
    ((only,),) = plain.biased(["x"], [{7: 60.0}], top=5)
    assert only[0] == "said x"
    no = json.dumps({"error": {"code": "gateway.parameter_not_allowed"}}).encode()
    door.next = [(400, {}, no)] * 2
    known = tiny.knows(None, Knows.NOTHING)
    for rung, attack in ((Rung.TOPK, LogitBias()), (Rung.TEXT, LogitBiasRankings())):
        refusing = open_served_text(door.url, "sr_secret", "m", rung, tiny.PLENTY)
        (claim,) = attack.run(refusing, known, tiny.PLENTY, 0)
        assert claim.facts == {}  # type: ignore[attr-defined]
        assert refusing.spent().refusals == {"gateway.parameter_not_allowed": 1}


def test_embeddings_come_sixteen_a_request_and_in_the_order_of_their_texts(door: Fake) -> None:
    def said(count: int) -> tuple[int, dict[str, str], bytes]:
        rows = [{"index": n, "embedding": [float(n), 1.0]} for n in reversed(range(count))]
        return 200, {}, json.dumps({"data": rows}).encode()

    target = open_served_embeddings(door.url, "sr_secret", "m", BUDGET)
    door.next = [said(16), said(2)]
    found = target.embed([f"text {n}" for n in range(18)])
    assert found[:, 0].tolist() == [*range(16), 0, 1]
    assert [len(body["input"]) for body in door.bodies] == [16, 2]
    assert (target.spent().queries, dir(target)) == (18, ["embed", "spent"])
    door.next = [said(1)]
    with refused("exposure.endpoint_failed"):
        target.embed(["a", "b"])
    with refused("exposure.not_yours"):
        open_served_embeddings("https://api.example.com", "sr_secret", "m", BUDGET)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:80", True),
        ("http://[::1]:80", True),
        ("http://localhost", True),
        ("https://api.example.com/v1", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_only_what_is_ones_own(url: str, local: bool) -> None:
    require_right(url, owned=True)
    if local:
        require_right(url, owned=False)
        return
    with refused("exposure.not_yours"):
        require_right(url, owned=False)
    with refused("exposure.not_yours"):
        open_served_text(url, "sr_secret", "m", Rung.TEXT, BUDGET)
