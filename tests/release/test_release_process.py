"""The real process over a real socket pair: start, release, refuse, stop; and what it gives up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from release_desk import CONFIGURATION, CONTEXT, MANIFEST, MODEL, RELEASE, code_of

from strongroom import framing
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys.keyring import FileKeyring
from strongroom.release import client, messages
from strongroom.release.config import KeyringUnlocker, ReleaseConfig
from strongroom.release.evidence import LocalAttester
from strongroom.release.policies.embedded import embedded
from strongroom.release.recording import acknowledgement
from strongroom.release.requester import Grant
from strongroom.release.service_key import ServiceKey

PASSPHRASE = b"correct horse battery"


class Running:
    """A release process, the socket to it, and what it takes to ask it for a key."""

    def __init__(self, folder: Path, **more: Any) -> None:
        keyring = FileKeyring.create(folder / "keyring", PASSPHRASE)
        self.key = DataKey.generate()
        self.recipient = keyring.wrap(self.key, CONTEXT)
        self.service_key = ServiceKey.create(folder / "service")
        self.sock, theirs = socket.socketpair()
        passphrase = _pipe(PASSPHRASE + b"\n")
        config = ReleaseConfig(
            service_key=str(folder / "service"),
            unlockers=(KeyringUnlocker(str(folder / "keyring"), passphrase),),
            release_fd=theirs.fileno(),
            # Ours, even if somebody edits the checkout between our start and the process's.
            policy=embedded(),
            **more,
        )
        self.process = start(msgspec.json.encode(config), passphrase, theirs.fileno())
        theirs.close()
        os.close(passphrase)
        self.decisions: list[dict[str, Any]] = []
        self.acknowledge = True
        self._keeping = threading.Thread(target=self._keep, daemon=True)
        self._keeping.start()

    def obtain(self, recipient: Recipient | None = None) -> Grant:
        return client.obtain_key(
            self.sock,
            recipients=[recipient or self.recipient],
            context=CONTEXT,
            model=MODEL,
            release=RELEASE,
            manifest_digest=MANIFEST,
            evidence=LocalAttester(CONFIGURATION),
            service_key=self.service_key.public,
        )

    def finish(self) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, decisions on standard output, and standard error."""
        code = self.process.wait(timeout=60)
        self._keeping.join(60)
        assert self.process.stderr is not None
        return code, self.decisions, self.process.stderr.read()

    def _keep(self) -> None:
        """Keep the record, as whoever started the process does."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.decisions.append(json.loads(line))
            if self.acknowledge:
                self.say(acknowledgement(self.decisions[-1]["decision"]))

    def say(self, line: bytes) -> None:
        """One line on the process's standard input."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.decode())
            self.process.stdin.flush()

    def close(self) -> None:
        """Whatever happened, nothing of it stays."""
        self.sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._keeping.join(60)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def start(config: bytes, *descriptors: int) -> subprocess.Popen[str]:
    """A release process that reads ``config`` and inherits ``descriptors``."""
    reading = _pipe(config)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "strongroom.release", "--config-fd", str(reading)],
            pass_fds=(reading, *descriptors),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(reading)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.close()


def test_release_then_refusal_then_orderly_end(running: Running) -> None:
    grant = running.obtain()
    assert bytes(grant.key.reveal(TOKEN)) == bytes(running.key.reveal(TOKEN))
    foreign = msgspec.structs.replace(running.recipient, key_id="0" * 32)
    assert code_of(lambda: running.obtain(foreign)) == "release.no_recipient"
    running.sock.close()
    code, decisions, err = running.finish()
    assert (code, err) == (0, "")
    assert [decision["reason"] for decision in decisions] == ["", "release.no_recipient"]
    assert decisions[0]["assurance"] == "SOFTWARE-ONLY"
    assert decisions[0]["pid"] == os.getpid()
    assert decisions[0]["uid"] == os.geteuid()


def test_no_key_leaves_before_its_decision_is_recorded(running: Running) -> None:
    running.acknowledge = False
    granted: list[Grant] = []
    asking = threading.Thread(target=lambda: granted.append(running.obtain()), daemon=True)
    asking.start()
    until = time.monotonic() + 60
    while not running.decisions and time.monotonic() < until:
        time.sleep(0.01)
    (decision,) = running.decisions
    assert decision["outcome"] == "released"
    asking.join(0.3)
    assert asking.is_alive()  # it waits for its key
    assert not granted
    running.say(acknowledgement("another"))
    asking.join(0.3)
    assert not granted
    running.say(acknowledgement(decision["decision"]))
    asking.join(60)
    assert granted[0].decision == decision["decision"]


def test_who_started_it_is_gone_and_no_key_leaves(running: Running) -> None:
    running.obtain()  # positive control
    running.acknowledge = False
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert code_of(running.obtain) == "release.record_failed"
    assert running.process.poll() is None


def test_a_service_for_one_model_releases_no_other_s_key(tmp_path: Path) -> None:
    running = Running(tmp_path, manifest="00" * 32)
    assert code_of(running.obtain) == "release.other_model"
    running.sock.close()
    code, (decision,), _ = running.finish()
    running.close()
    assert (code, decision["reason"]) == (0, "release.other_model")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_an_orderly_stop(running: Running, stop: signal.Signals) -> None:
    running.obtain()
    running.process.send_signal(stop)
    code, _, err = running.finish()
    assert (code, err) == (0, "")
    assert code_of(running.obtain) == "release.unreachable"


def test_the_process_hardens_before_it_serves(running: Running) -> None:
    running.obtain()
    pid = running.process.pid
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    limits = Path(f"/proc/{pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_hardening_makes_a_process_not_dumpable() -> None:
    get_dumpable = "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)"
    source = (
        "import ctypes; from strongroom.release.hardening import harden; "
        f"print({get_dumpable}); harden(); print({get_dumpable})"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "0"], done.stderr


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">I", 0),
        struct.pack(">I", messages.MAX_MESSAGE_BYTES + 1),
        b"\xff" * 64,
        framing.encode(b'{"type":"nonsense"}', 100),
    ],
)
def test_a_broken_stream_ends_the_process_in_order(running: Running, sent: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        running.sock.sendall(sent)
        while running.sock.recv(65_536):
            pass
    code, decisions, err = running.finish()
    assert (code, err) == (0, "")
    assert not [decision for decision in decisions if decision["outcome"] == "released"]


def test_a_message_in_single_bytes(running: Running) -> None:
    for byte in framing.encode(b'{"type":"ask"}', 100):
        running.sock.sendall(bytes([byte]))
    assert running.sock.recv(65_536)
    running.obtain()


def test_a_message_that_two_processes_wrote_has_no_sender(running: Running) -> None:
    from strongroom.release.requester import Requester

    requester = Requester(
        recipients=[running.recipient],
        context=CONTEXT,
        model=MODEL,
        release=RELEASE,
        manifest_digest=MANIFEST,
        attester=LocalAttester(CONFIGURATION),
        service_key=running.service_key.public,
    )
    buffer = framing.FrameBuffer(messages.MAX_MESSAGE_BYTES)
    running.sock.sendall(framing.encode(requester.ask(), 1000))
    (challenge,) = buffer.feed(running.sock.recv(65_536))
    request = framing.encode(requester.request(challenge), messages.MAX_MESSAGE_BYTES)
    child = os.fork()
    if child == 0:
        running.sock.sendall(request[:100])
        os._exit(0)
    os.waitpid(child, 0)
    running.sock.sendall(request[100:])
    (answer,) = buffer.feed(running.sock.recv(65_536))
    assert code_of(lambda: requester.accept(answer)) == "attest.local_sender"
    running.obtain()


def _without(*names: str) -> Callable[[dict[str, object]], dict[str, object]]:
    return lambda config: {name: value for name, value in config.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "error", "exit_code"),
    [
        (_without("service_key"), "process.bad_config", 5),
        (lambda config: {**config, "surplus": 1}, "process.bad_config", 5),
        (lambda config: {**config, "unlockers": []}, "process.bad_config", 5),
        (lambda config: {**config, "release_fd": 999}, "process.bad_socket", 5),
        (lambda config: {**config, "service_key": "/nowhere"}, "keys.file_missing", 4),
        (
            lambda config: {**config, "unlockers": [{"type": "hpke", "path": "/nowhere"}]},
            "keys.file_missing",
            4,
        ),
    ],
)
def test_a_bad_start_is_one_line_and_its_exit_code(
    tmp_path: Path,
    change: Callable[[dict[str, object]], dict[str, object]],
    error: str,
    exit_code: int,
) -> None:
    ServiceKey.create(tmp_path / "service")
    FileKeyring.create(tmp_path / "keyring", None)
    ours, theirs = socket.socketpair()
    config: dict[str, object] = {
        "service_key": str(tmp_path / "service"),
        "unlockers": [{"type": "keyring", "path": str(tmp_path / "keyring")}],
        "release_fd": theirs.fileno(),
        "policy": msgspec.to_builtins(embedded()),
    }
    with ours, theirs:
        process = start(json.dumps(change(config)).encode(), theirs.fileno())
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (exit_code, "")
    (line,) = err.splitlines()
    assert json.loads(line)["error"] == error
    assert set(json.loads(line)) == {"error", "message", "action"}


def test_service_key_files(tmp_path: Path) -> None:
    made = ServiceKey.create(tmp_path / "key")
    assert ServiceKey.load(tmp_path / "key").public == made.public
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert code_of(lambda: ServiceKey.create(tmp_path / "key")) == "keys.file_exists"
    (tmp_path / "key").chmod(0o644)
    assert code_of(lambda: ServiceKey.load(tmp_path / "key")) == "keys.file_permissions"
    FileKeyring.create(tmp_path / "keyring", None)
    assert code_of(lambda: ServiceKey.load(tmp_path / "keyring")) == (
        "release.service_key_malformed"
    )
