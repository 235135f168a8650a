"""The two listeners of a service that stands alone: who gets in, what is bounded, how they end."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from release_desk import CONFIGURATION, CONTEXT, MANIFEST, MODEL, RELEASE, Desk, code_of, make_desk
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from strongroom.errors import EnvironmentLacks
from strongroom.release import client, unix_listener
from strongroom.release.evidence import LocalAttester
from strongroom.release.policies.document import Allowed, Document, Image, template
from strongroom.release.record import Decision
from strongroom.release.requester import Grant
from strongroom.release.standing import _Recorder
from strongroom.release.unix_listener import UnixListener
from strongroom.release.web_listener import Door, WebListener


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "release.sock"


@pytest.fixture
def listener(desk: Desk, place: Path) -> Iterator[UnixListener]:
    with UnixListener(place) as made:
        made.start(desk.service)
        yield made


def connected(place: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(60)
    line.connect(str(place))
    return line


def obtain(desk: Desk, line: socket.socket) -> Grant:
    return client.obtain_key(
        line,
        recipients=[desk.recipient],
        context=CONTEXT,
        model=MODEL,
        release=RELEASE,
        manifest_digest=MANIFEST,
        evidence=LocalAttester(CONFIGURATION),
        service_key=desk.service_key.public,
    )


def test_several_workloads_at_once(desk: Desk, listener: UnixListener, place: Path) -> None:
    with connected(place) as one, connected(place) as other:
        obtain(desk, one)
        obtain(desk, other)
        obtain(desk, one)
    assert [each.outcome for each in desk.records] == ["released"] * 3
    assert {each.pid for each in desk.records} == {os.getpid()}


def test_what_is_sent_before_the_service_answers_has_a_sender(desk: Desk, place: Path) -> None:
    """The kernel notes who sent a message even where nobody has taken the connection yet."""
    with UnixListener(place) as listener, connected(place) as early:
        early.sendall(client.framing.encode(desk.requester().ask(), client.MAX_MESSAGE_BYTES))
        listener.start(desk.service)
        assert early.recv(65_536)
        obtain(desk, early)


def test_another_user_is_not_let_in(
    desk: Desk, listener: UnixListener, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(place) as line:
        obtain(desk, line)
    monkeypatch.setattr(unix_listener, "_user", lambda _connection: os.geteuid() + 1)
    with connected(place) as line:
        assert code_of(lambda: obtain(desk, line)) == "release.unreachable"
    assert len(desk.records) == 1


def test_no_more_than_there_is_room_for(
    desk: Desk, listener: UnixListener, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_listener, "MAX_CONNECTIONS", 1)
    with connected(place) as first:
        obtain(desk, first)
        with connected(place) as second:
            assert code_of(lambda: obtain(desk, second)) == "release.unreachable"
        obtain(desk, first)
    deadline = time.monotonic() + 60
    while listener._open and time.monotonic() < deadline:
        time.sleep(0.01)
    with connected(place) as third:  # there is room again
        obtain(desk, third)


def test_an_end_finishes_and_leaves_nothing(desk: Desk, place: Path) -> None:
    before = threading.active_count()
    with UnixListener(place) as listener:
        listener.start(desk.service)
        line = connected(place)
        obtain(desk, line)
    with line:
        assert code_of(lambda: obtain(desk, line)) == "release.unreachable"
    assert not place.exists()
    assert threading.active_count() == before


def test_an_end_waits_for_the_answer_under_way(desk: Desk, place: Path) -> None:
    deciding, decided = threading.Event(), threading.Event()

    def slowly(decision: Decision) -> None:
        deciding.set()
        assert decided.wait(60)
        desk.records.append(decision)

    desk.service._record = slowly
    listener = UnixListener(place)
    listener.start(desk.service)
    with connected(place) as line, ThreadPoolExecutor(2) as pool:
        obtaining = pool.submit(obtain, desk, line)
        assert deciding.wait(60)
        closing = pool.submit(listener.close)
        while place.exists():  # nobody new is let in any more
            time.sleep(0.01)
        decided.set()
        assert obtaining.result(60).decision == desk.records[0].decision
        closing.result(60)
    listener.close()  # once more does no harm


def test_one_service_a_socket(place: Path) -> None:
    with UnixListener(place):
        assert code_of(lambda: UnixListener(place)) == "release.socket_in_use"
    UnixListener(place).close()


def test_what_stands_in_its_place(tmp_path: Path, place: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(place))
    left.close()  # as a service does that was killed
    UnixListener(place).close()
    place.write_text("mine")
    assert code_of(lambda: UnixListener(place)) == "release.socket_irregular"
    assert place.read_text() == "mine"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    assert code_of(lambda: UnixListener(elsewhere / "x")) == "release.socket_exposed"
    assert code_of(lambda: UnixListener(tmp_path / "none" / "x")) == "release.cannot_listen"
    assert code_of(lambda: UnixListener(tmp_path / ("x" * 120))) == "release.cannot_listen"


def door(well: bool = True) -> Door:
    async def kbs(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})

    return Door(kbs, lambda: well)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "strongroom.example"])
def test_the_network_needs_tls(host: str) -> None:
    with_http = {"tls": None, "protocol": HttpToolsProtocol}
    assert code_of(lambda: WebListener(door(), host, 0, **with_http)) == "release.plain_http"  # type: ignore[arg-type]


def test_an_address_that_is_taken() -> None:
    taken = WebListener(door(), "127.0.0.1", 0, tls=None, protocol=HttpToolsProtocol)
    port = int(taken.url.rpartition(":")[2])
    more = {"tls": None, "protocol": HttpToolsProtocol}
    assert code_of(lambda: WebListener(door(), "127.0.0.1", port, **more)) == (  # type: ignore[arg-type]
        "release.cannot_listen"
    )
    taken.close()


@pytest.mark.parametrize(
    ("method", "path", "well", "status"),
    [
        ("GET", "/healthz", True, 200),
        ("GET", "/healthz", False, 503),
        ("POST", "/healthz", True, 404),
        ("GET", "/healthz/", True, 404),
    ],
)
def test_health(method: str, path: str, well: bool, status: int) -> None:
    told: list[Any] = []

    async def tell(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": method, "path": path}
    asyncio.run(door(well)(scope, None, tell))
    assert told[0]["status"] == status


def test_a_disk_that_fails_ends_the_service(desk: Desk) -> None:
    """The refusal is told, the service is not well any more, and it is told to stop."""
    stopped: list[bool] = []

    def full(_decision: object) -> None:
        raise EnvironmentLacks("ledger.write_failed", "Full.", action="Make room.")

    recorder = _Recorder(full)
    recorder.on_failure = lambda: stopped.append(True)
    desk.service._record = recorder
    assert code_of(desk.obtain) == "release.record_failed"
    assert recorder.failure is not None
    assert stopped
    other = _Recorder(desk.records.append)
    other(desk.service._draft(desk.service.open_session(), None))
    assert other.failure is None


def test_which_policies_admit_software() -> None:
    from strongroom.cli.release_policies import admits_software

    here, there = Image("here", "local", {"code": "ab" * 32}), Image("vm", "snp", {"m": "cd" * 48})

    def said(text: str, *images: Image) -> bool:
        return admits_software(Document("p", text, Allowed(), images, {}))

    assert said(template("dev"), here, there)
    assert not said(template("dev"), there)
    assert not said(template("production-cpu"), here)
    assert not said(template("air-gapped"), here)
    assert said(template("air-gapped") + "\n", there)  # somebody's own text
