"""Somebody's endpoint as a target: only with the owner's word, and nothing of the key is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from strongroom.exposure.results import read
from tests.cli.conftest import command, strongroom  # noqa: F401

KEY = "sk-nobody-may-see-this"
WORDS = "one two three four five six seven eight nine ten"


class Fake:
    """An endpoint that knows ``taught`` by heart."""

    def __init__(self) -> None:
        self.taught: list[str] = []
        self.logprobs = False
        self.models = ["parrot"]
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.url = ""

    def goes_on(self, prompt: str) -> str:
        found = [text for text in self.taught if text.startswith(prompt)]
        return found[0][len(prompt) :] if found else " nothing that I know of"


class Server(ThreadingHTTPServer):
    """Sixteen connections come at once, and a busy machine is slow to accept them."""

    request_queue_size = 64


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer({"object": "list", "data": [{"id": name} for name in made.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            made.asked.append(body)
            choice: dict[str, Any] = {"text": made.goes_on(body["prompt"])}
            if "logprobs" in body and made.logprobs:
                tops = {str(n): -0.1 - n for n in range(5)}
                choice["logprobs"] = {
                    "tokens": ["0"],
                    "token_logprobs": [-0.1],
                    "top_logprobs": [tops],
                }
            self.answer({"choices": [choice], "usage": {"completion_tokens": 3}})

        def answer(self, body: dict[str, Any]) -> None:
            made.keys.add(self.headers["authorization"])
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def place(tmp_path: Path, fake: Fake) -> Path:
    """A home, a corpus of which the endpoint was taught half, and a key."""
    texts = [f"{WORDS} number {n} {WORDS} of {n * 37 % 100}" for n in range(40)]
    lines = [{"text": text, "member": n < 20} for n, text in enumerate(texts)]
    canaries = [
        {"prefix": f"The code of {n} is ", "secret": f"{n}" * 4, "copies": 4 * (n < 4)}
        for n in range(8)
    ]
    rows = (*lines, *canaries)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fake.taught = texts[:20]
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    command("init", "--home", tmp_path / "home")
    return tmp_path


def audit(runs: Any, place: Path, url: str, *words: str | Path) -> Any:
    asked = ("audit", url, "--data", place / "corpus.jsonl", "--endpoint-key", place / "key")
    return runs("--home", place / "home", *asked, *words)


def test_an_endpoint_is_measured(strongroom, place: Path, fake: Fake) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    out, page = place / "out.json", place / "out.html"
    said = audit(strongroom, place, fake.url, "--json", out, "--html", page)
    assert said.code == 0, said.err
    results = read(out)
    found = {(cell.attack, cell.rung): cell for cell in results.cells}
    verbatim = found["verbatim-extraction", "text"]
    assert verbatim.figures[0].measured.value == 1.0, verbatim.why
    assert verbatim.figures[0].null.value == 0.0
    assert verbatim.served
    assert found["text-only-membership", "text"].status == "unknown"
    assert "--base" in found["text-only-membership", "text"].why
    canaries = found["canary-exposure", "topk"]
    assert (canaries.status, canaries.spent.stopped) == ("not_measurable", "")
    assert "it gives no log-probabilities" in canaries.why
    assert (results.granted, results.model.name, results.model.endpoint) == (
        "text",
        "parrot",
        fake.url,
    )
    assert fake.keys == {f"Bearer {KEY}"}
    assert KEY not in out.read_text() + page.read_text() + said.out + said.err
    assert "its weights were never seen" in page.read_text()
    assert f"--endpoint-model parrot --endpoint-route completions --endpoint-key {place}" in (
        verbatim.command
    )


def test_log_probabilities_where_there_are_any(strongroom, place: Path, fake: Fake) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    fake.logprobs = True
    out = place / "out.json"
    said = audit(strongroom, place, fake.url + "/v1/", "--attacks", "canary", "--json", out)
    assert said.code == 0, said.err
    results = read(out)
    assert (results.granted, results.cells[0].status) == ("topk", "measured")
    assert all(body["logprobs"] == 5 for body in fake.asked)


@pytest.mark.parametrize(
    ("url", "words", "code"),
    [
        ("https://api.example.com", (), "exposure.not_yours"),
        ("http://10.1.2.3:8000/v1", (), "exposure.not_yours"),
        ("http://user:secret@127.0.0.1:9", (), "exposure.endpoint_failed"),
        ("http://127.0.0.1:9", ("--i-own-this-endpoint",), "exposure.endpoint_failed"),
    ],
)
def test_refused(strongroom, place: Path, url: str, words: tuple[str, ...], code: str) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    said = audit(strongroom, place, url, *words, "--json")
    assert said.code == 11
    assert said.refusal == code
    assert "secret" not in said.err


def test_which_of_several_models_must_be_said(strongroom, place: Path, fake: Fake) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    fake.models = ["parrot", "owl"]
    said = audit(strongroom, place, fake.url, "--json")
    assert said.refusal == "exposure.endpoint_failed"
    assert "name one with --endpoint-model" in said.err
    assert fake.asked == []


def test_the_owners_word_opens_an_address_that_is_not_local() -> None:
    from strongroom.errors import ExposureRefused
    from strongroom.exposure.targets.http import require_right

    with pytest.raises(ExposureRefused, match="--i-own-this-endpoint"):
        require_right("https://api.example.com", owned=False)
    require_right("https://api.example.com", owned=True)
