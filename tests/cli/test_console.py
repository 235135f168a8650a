"""``strongroom console`` as a process, on a real home with a real log."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from strongroom.cli.console import explained
from strongroom.cli.main import run
from strongroom.ledger.entries import RequestFinal, RequestIntent, Signal, Switched
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look, open_log
from strongroom.ledger.reading import records
from strongroom.store.sqlite import SqliteStore


@dataclass
class Visitor:
    """An operator's browser, as far as needed."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(fields) if fields else None, headers)
        answer = connection.getresponse()
        for value in answer.headers.get_all("set-cookie", []):
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def token(self, path: str) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.ask("GET", path)[1])
        assert found is not None
        return found[1]


@dataclass
class Running:
    """A console, the home it shows, and a visitor who is logged in."""

    home: Path
    key: LogKey
    visitor: Visitor


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("console") / "home"
    assert run(["init", "--home", str(home)]) == 0
    key_path = home / "keys" / "log.key"
    key = LogKey.load(key_path) if key_path.exists() else LogKey.create(key_path)
    with SqliteStore(home / "state" / "strongroom.sqlite") as store:
        store.add_organisation("Globex & Sons")
    with open_log(home / "state", "gateway", key) as log:
        log.write(RequestIntent("a", "Globex & Sons", "0", "chat", "smol", {"requests": 1}))
        log.write(RequestFinal("a", "answered", {"requests": 1, "output_tokens": 4321}))
        log.write(Signal("grid", "Globex & Sons", 950, 900, "none", {"subjects": 1, "seen": 2}))
    base = [sys.executable, "-m", "strongroom.cli"]
    if not (Path(__file__).resolve().parents[2] / "src/strongroom/cli/__main__.py").exists():
        base = [str(Path(sys.executable).with_name("strongroom"))]
    made = subprocess.run(
        [*base, "operator", "create", "ada", "--json", "--home", home],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [*base, "console", "--port", "0", "--json", "--home", home],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        visitor = Visitor(json.loads(process.stdout.readline())["url"])
        fields = {"token": visitor.token("/login"), "key": json.loads(made.stdout)["key"]}
        assert visitor.ask("POST", "/login", fields)[0] == 303
        yield Running(home, key, visitor)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode in (0, 130), said
    events = [json.loads(line)["event"] for line in said.splitlines() if line[:1] == "{"]
    assert events[0] == "console.logged_in"
    assert "console.switched" in events
    assert json.loads(made.stdout)["key"][20:] not in said


def test_what_is_in_the_home_is_shown(running: Running) -> None:
    status, page = running.visitor.ask("GET", "/organisations")
    assert status == 200
    assert "Globex &amp; Sons" in page
    assert "4,321" in page
    status, page = running.visitor.ask("GET", "/log")
    assert "All 3 entries hold under the signed checkpoint." in page
    assert "filled-in template" in running.visitor.ask("GET", "/signals")[1]
    assert "Gateway does not answer" in running.visitor.ask("GET", "/models")[1]


def test_a_switch_is_in_the_store_and_in_the_record(running: Running) -> None:
    visitor = running.visitor
    fields = {"kind": "tenant", "name": "Globex & Sons", "to": "off", "reason": "extraction"}
    fields["token"] = visitor.token("/switch?" + urlencode(fields))
    assert visitor.ask("POST", "/switch", fields)[0] == 303
    with SqliteStore(running.home / "state" / "strongroom.sqlite") as store:
        (switch,) = store.switches()
        assert (switch.kind, switch.name, switch.reason) == (
            "tenant", "Globex & Sons", "extraction",
        )  # fmt: skip
    folder, verified = look(running.home / "state", "operator", running.key.public)
    entries = records(folder, verified.published.size, verified.unpublished)
    last = [each.entry for each in entries][-1]
    assert last == Switched("organisation", "Globex & Sons", False, "ada", "extraction")
    page = visitor.ask("GET", "/organisations")[1]
    assert "by ada: extraction" in page
    assert visitor.ask("POST", "/switch", {**fields, "to": "on", "reason": ""})[0] == 303
    with SqliteStore(running.home / "state" / "strongroom.sqlite") as store:
        assert store.switches() == ()


def test_a_mistyped_organisation_is_refused(running: Running) -> None:
    visitor = running.visitor
    fields = {"kind": "tenant", "name": "Globx", "to": "off", "reason": "x"}
    fields["token"] = visitor.token("/switch?" + urlencode(fields))
    status, page = visitor.ask("POST", "/switch", fields)
    assert status == 422
    assert "store.no_organisation" in page


def test_signals_are_explained_as_detection_explains_them() -> None:
    known = Signal("spread", "", 25_000, 24_000, "none", {"subjects": 25, "seen": 900})
    assert "25 organisations send little but one template" in explained(known)
    other = Signal("later-kind", "", 1500, 1000, "none")
    assert explained(other) == "Its score is 1.5, where 1 is the limit."
