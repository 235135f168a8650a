"""``serve`` as a person runs it: three processes, the official client, every way to end."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import openai
import pytest

from strongroom.cli.supervisor import DRAIN_SECONDS
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records
from strongroom.ledger.release_entries import KeyReleased
from tests.cli.conftest import COMMAND, Made, Runs, command
from tests.gateway.test_tls import certificate

pytestmark = pytest.mark.slow

START_SECONDS = 90
END_SECONDS = 20
ROOMS = ("release", "keeper", "gateway")


class Server:
    """A running ``strongroom serve --json``."""

    def __init__(self, home: Path, sealed: Path, *words: str, **environment: str) -> None:
        arguments = [COMMAND, "--home", home, "serve", sealed, "--port", "0", "--json", *words]
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )

    def ready(self) -> dict[str, Any]:
        """The line that says where it listens."""
        assert self.process.stdout is not None
        line = first_line(self.process.stdout)
        assert line, self.error()
        said: dict[str, Any] = json.loads(line)
        return said

    def children(self) -> dict[str, int]:
        """Process ids of the rooms that run now."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if parent == self.process.pid:
                found |= {room: int(entry.name) for room in ROOMS if f"strongroom.{room}" in words}
        return found

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(END_SECONDS)

    def error(self) -> dict[str, Any]:
        """The JSON error on standard error."""
        assert self.process.stderr is not None
        self.process.wait(START_SECONDS)
        text = self.process.stderr.read().decode()
        found: dict[str, Any] = json.loads(text.splitlines()[-1])
        return found

    def close(self) -> None:
        """Whatever happened, nothing of it stays."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def first_line(stream: IO[bytes]) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        gathered = b""
        until = time.monotonic() + START_SECONDS
        while b"\n" not in gathered and selector.select(max(0.0, until - time.monotonic())):
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                break
            gathered += chunk
    return gathered.partition(b"\n")[0]


@contextmanager
def served(made: Made, *words: str, **environment: str) -> Iterator[Server]:
    server = Server(made.home, made.sealed, *words, **environment)
    try:
        yield server
    finally:
        server.close()


def gone(pid: int) -> bool:
    """Whether a process has ended, within the time it may take."""
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def running(originals: Made) -> Iterator[tuple[Server, dict[str, Any], str]]:
    """A server that several tests only talk to, what it said, and an API key."""
    done = subprocess.run(
        [COMMAND, "--home", originals.home, "key", "create", "--org", "acme"],
        check=True,
        capture_output=True,
        text=True,
    )
    secret = {"AWS_SECRET_ACCESS_KEY": "not for children", "LD_PRELOAD_X": "1"}
    with served(originals, **secret) as server:
        yield server, server.ready(), done.stdout.strip()


def test_the_official_client_holds_a_chat(running: tuple[Server, dict[str, Any], str]) -> None:
    _, said, key = running
    client = openai.OpenAI(base_url=f"{said['url']}/v1", api_key=key, max_retries=0)
    assert [model.id for model in client.models.list().data] == [said["model"]] == ["tiny"]
    stream = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=8,
        temperature=0,
        stream=True,
    )
    parts = list(stream)
    assert parts[-1].choices[0].finish_reason in ("stop", "length")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{said['url']}/v1", api_key="sr_x", max_retries=0).models.list()


def test_the_ready_line_says_what_stands(running: tuple[Server, dict[str, Any], str]) -> None:
    _, said, _ = running
    assert said["ready"] is True
    assert said["assurance"] == "SOFTWARE-ONLY"
    assert said["rungs"] == {"*": "text"}
    assert said["walls"]["seccomp"] == "on"
    assert "bits an hour" in said["egress"]


def test_children_stand_alone(running: tuple[Server, dict[str, Any], str]) -> None:
    server, _, _ = running
    children = server.children()
    assert set(children) == set(ROOMS)  # key release stays: the keeper renews its lease
    for room, pid in children.items():
        assert os.getsid(pid) == pid, room
    environment = Path(f"/proc/{children['gateway']}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in environment if entry}
    assert b"OMP_NUM_THREADS" in names
    assert not {name for name in names if name.startswith((b"AWS_", b"LD_", b"PYTHON"))}


def test_what_key_release_decided_is_recorded(
    originals: Made, running: tuple[Server, dict[str, Any], str]
) -> None:
    _, said, _ = running
    key = LogKey.load(originals.home / "keys" / "log.key")
    folder, verified = look(originals.home / "state", "release", key.public)
    *_, last = records(folder, verified.published.size, verified.unpublished)
    assert isinstance(last.entry, KeyReleased)
    assert last.entry.manifest_digest == said["digest"]


def test_a_home_without_a_log_key_is_told_how_to_get_one(made: Made) -> None:
    (made.home / "keys" / "log.key").unlink()
    with served(made) as server:
        error = server.error()
        assert error["error"] == "ledger.key_missing"
        assert "strongroom log init" in error["action"]
        assert server.end() == 4


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["ctrl-c", "term"]
)
def test_it_ends_in_order(made: Made, number: signal.Signals, exit_code: int) -> None:
    with served(made) as server:
        server.ready()
        children = server.children()
        assert server.end(number) == exit_code
    assert children
    assert all(map(gone, children.values()))


def test_a_signal_during_the_start_is_heard(made: Made) -> None:
    with served(made) as server:
        until = time.monotonic() + START_SECONDS
        while len(server.children()) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        children = server.children()
        asked = time.monotonic()
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - asked < DRAIN_SECONDS, "nothing is under way that could drain"
    assert all(map(gone, children.values()))


def test_children_die_with_a_killed_supervisor(made: Made) -> None:
    with served(made) as server:
        server.ready()
        children = server.children()
        server.end(signal.SIGKILL)
        assert children
        assert all(map(gone, children.values()))


def test_a_dead_keeper_ends_it_all(made: Made) -> None:
    with served(made) as server:
        server.ready()
        children = server.children()
        os.kill(children["keeper"], signal.SIGKILL)
        assert server.error()["error"] == "cli.child_killed"
        assert server.end() == 1
        assert gone(children["gateway"])


def test_a_taken_port_is_the_gateway_s_error(made: Made) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with served(made, "--port", str(taken.getsockname()[1])) as server:
            assert server.error()["error"] == "gateway.cannot_listen"
            assert server.end() == 5


def test_a_wall_that_does_not_exist_is_required(made: Made) -> None:
    path = made.home / "strongroom.toml"
    text = path.read_text().replace("required_walls = []", 'required_walls = ["moat"]')
    path.write_text(text)
    with served(made) as server:
        assert server.error()["error"] == "keeper.wall_unknown"
        assert server.end() == 6


def test_an_altered_body_is_the_keeper_s_error(made: Made) -> None:
    body = made.sealed / "weights-00001-of-00001.floe"
    raw = bytearray(body.read_bytes())
    raw[len(raw) // 2] ^= 1
    body.write_bytes(raw)
    with served(made) as server:
        assert server.error()["error"] == "artifact.segment_altered"
        assert server.end() == 3


def test_a_model_sealed_for_others_is_not_served(
    made: Made, tmp_path: Path, strongroom: Runs
) -> None:
    strongroom("recipient", "create", "--out", tmp_path / "other.pub")
    home = ("--home", made.home)
    strongroom(*home, "rewrap", made.sealed, "--add", tmp_path / "other.pub")
    own = strongroom(*home, "rewrap", made.sealed, "--list", "--json").json["recipients"][0]
    strongroom(*home, "rewrap", made.sealed, "--remove", own["key_id"])
    with served(made) as server:
        error = server.error()
        assert error["error"].startswith(("release.", "keys."))
        assert server.end() == 4


def test_a_passphrase_reaches_key_release(tmp_path: Path, originals: Made) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    made = Made(tmp_path / "home", originals.plain, tmp_path / "sealed")
    command("init", "--home", made.home, "--passphrase-file", secret)
    home = ("--home", made.home)
    command(*home, "seal", made.plain, "--out", made.sealed, "--passphrase-file", secret)
    with served(made) as server:
        assert server.error()["error"] == "cli.passphrase_needed"
        assert server.end() == 4
    wrong = tmp_path / "wrong"
    wrong.write_text("correct horse staple\n")
    wrong.chmod(0o600)
    with served(made, "--passphrase-file", str(wrong)) as server:
        assert server.error()["error"] == "keys.wrong_passphrase"
        assert server.end() == 4
    with served(made, "--passphrase-file", str(secret)) as server:
        assert server.ready()["model"] == "tiny"


def test_people_see_the_network_warning(made: Made) -> None:
    arguments = [COMMAND, "--home", made.home, "serve", made.sealed, "--host", "192.0.2.1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=START_SECONDS)
    assert "terminates TLS" in done.stderr
    assert "code: gateway.cannot_listen" in done.stderr
    assert (done.returncode, done.stdout) == (5, "")


def test_tls_needs_both_files(made: Made) -> None:
    with served(made, "--tls-cert", str(made.home / "strongroom.toml")) as server:
        assert server.error()["error"] == "cli.tls_incomplete"
        assert server.end() == 5


def test_it_speaks_tls(made: Made, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "door")
    with served(made, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        url = server.ready()["url"].replace("127.0.0.1", "localhost")
        context = ssl.create_default_context(cafile=str(cert))
        assert httpx2.get(f"{url}/readyz", verify=context).json()["ready"] is True
