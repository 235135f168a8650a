"""What the processes of ``serve`` have in common: their configuration, their socket, their last
line; and that an exception nobody foresaw ends in a line that quotes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from strongroom import process
from strongroom.errors import ConfigurationRefused

SECRET = "hunter2-the-data-key"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    depth: int


def piped(content: bytes) -> int:
    reader, writer = os.pipe()
    if os.fork() == 0:  # a pipe holds less than the largest configuration
        os.close(reader)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
            file.write(content)
        os._exit(0)
    os.close(writer)
    return reader


def test_the_configuration_is_read_once_with_its_digest() -> None:
    raw = b' {"depth": 3}'
    reader = piped(raw)
    config, digest = process.read_config("keeper", reader, Config)
    assert config == Config(3)
    assert digest == hashlib.sha256(raw).hexdigest()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"depth": "\xff"}',
        b'{"depth": 1, "width": 2}',
        b'{"depth": 1.5}',
        b'{"depth": NaN}',
        b'{"depth": 1} {}',
        b'{"depth": ' + b"[" * 50_000,
        b'{"depth": 1}'.ljust(process.MAX_CONFIG_BYTES + 1),
    ],
    ids=[
        *("empty", "cut", "no text", "no UTF-8", "unknown", "type", "NaN", "two", "deep"),
        "large",
    ],
)
def test_a_configuration_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        process.read_config("keeper", piped(raw), Config)
    assert caught.value.code == "process.bad_config"
    assert len(caught.value.message) < 300


def test_the_largest_configuration_is_read() -> None:
    raw = b'{"depth": 1}'.ljust(process.MAX_CONFIG_BYTES)
    assert process.read_config("keeper", piped(raw), Config)[0] == Config(1)


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        process.read_config("keeper", 99_999, Config)
    assert caught.value.code == "process.bad_config"


def test_a_socket_is_taken_over_and_nothing_else_is(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, process.inherited_socket(theirs.detach(), "boundary_fd") as taken:
        ours.sendall(b"x")
        assert taken.recv(1) == b"x"
    with (tmp_path / "file").open("wb") as file, pytest.raises(ConfigurationRefused) as caught:
        process.inherited_socket(file.fileno(), "boundary_fd")
    assert caught.value.code == "process.bad_socket"
    assert "boundary_fd" in caught.value.action


def child(body: str) -> subprocess.CompletedProcess[str]:
    """A process whose work is ``body``; ``secret`` is in its hands."""
    source = f"""
import gc, json, os, sys, threading
import msgspec
from strongroom import errors, process

class Config(msgspec.Struct):
    secret: str

class Lost:
    def __del__(self):
        raise ValueError(self.secret)

def work(config, digest):
    secret = config.secret
    {body}

sys.exit(process.run("keeper", Config, work))
"""
    return given_the_secret(source)


def given_the_secret(source: str) -> subprocess.CompletedProcess[str]:
    """A process that runs ``source``; its configuration holds the secret."""
    reader = piped(json.dumps({"secret": SECRET}).encode())
    try:
        return subprocess.run(
            [sys.executable, "-c", source, "--config-fd", str(reader)],
            pass_fds=[reader],
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(reader)


def line_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    assert SECRET not in done.stderr
    said: dict[str, str] = json.loads(line)
    return said


def test_an_orderly_end_says_nothing() -> None:
    done = child("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_refusal_is_one_line_and_its_exit_code() -> None:
    done = child("raise errors.KeyRefused('keys.none', 'No key.', action='Get one.')")
    assert done.returncode == 4
    assert line_of(done) == {"error": "keys.none", "message": "No key.", "action": "Get one."}


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError(secret)",
        "{}[secret]",
        "getattr(os, secret)",
        "open('/nowhere/' + secret)",
        "exec(secret)",
        "raise ExceptionGroup(secret, [KeyError(secret)])",
        "try: int(secret)\n    except ValueError as error: raise RuntimeError(secret) from error",
        "raise OSError(5, secret)",
    ],
)
def test_what_nobody_foresaw_ends_in_a_line_that_quotes_nothing(body: str) -> None:
    done = child(body)
    said = line_of(done)
    assert (done.returncode, said["error"]) == (1, "process.failed")
    assert "keeper" in said["message"]
    assert " at " in said["message"]


def test_too_little_memory_has_a_code_of_its_own() -> None:
    done = child("bytearray(1 << 60)")
    assert (done.returncode, line_of(done)["error"]) == (6, "process.out_of_memory")


@pytest.mark.parametrize(
    "body",
    [
        "(t := threading.Thread(target=int, args=(secret,))).start(); t.join()",
        "lost = Lost(); lost.secret = secret; del lost; gc.collect()",
    ],
    ids=["thread", "finaliser"],
)
def test_what_is_lost_on_the_way_is_mentioned_without_a_quotation(body: str) -> None:
    done = child(body)
    said = line_of(done)
    assert done.returncode == 0
    assert said["lost"].startswith("ValueError")
    assert "error" not in said, "the supervisor would take it for the reason of an end"


def test_a_plain_interpreter_does_quote() -> None:
    """Positive control: the secret would be seen if it were printed."""
    done = subprocess.run(
        [sys.executable, "-c", f"raise ValueError({SECRET!r})"], capture_output=True, text=True
    )
    assert SECRET in done.stderr


@pytest.mark.parametrize(
    ("room", "name"), [("release", "harden"), ("keeper", "_work"), ("gateway", "serve")]
)
def test_each_room_ends_that_way(room: str, name: str) -> None:
    source = f"""
import sys, msgspec
from strongroom.{room} import __main__ as room
def fail(*given):
    raise LookupError({SECRET!r}, given)
room.{name} = fail
class Watching(msgspec.Struct, frozen=True):
    log_level: str = "info"
class Anything(msgspec.Struct):
    secret: str
    watching: Watching = Watching()
room.{room.capitalize()}Config = Anything
sys.exit(room.main())
"""
    done = given_the_secret(source)
    said = line_of(done)
    assert (done.returncode, said["error"]) == (1, "process.failed")
    assert "LookupError at fail" in said["message"], "it came from where it was to come from"


def test_what_the_gateways_loop_and_server_report_quotes_nothing() -> None:
    source = """
import asyncio, logging, sys, msgspec
from unittest.mock import Mock
from strongroom.gateway import __main__ as room, server
from strongroom.gateway.watching import Watching
async def application(scope, receive, send):
    pass
async def fail(config):
    def late():
        raise LookupError(config.secret)
    asyncio.get_running_loop().call_soon(late)
    await asyncio.sleep(0.05)
    server._uvicorn(Mock(tls=None), application)  # sets up its own logging unless told not to
    try:
        raise LookupError(config.secret)
    except LookupError:
        logging.getLogger("uvicorn.error").exception("in the application %s", config.secret)
room.serve = fail
class Anything(msgspec.Struct):
    secret: str
    watching: Watching = Watching()
room.GatewayConfig = Anything
sys.exit(room.main())
"""
    done = given_the_secret(source)
    assert done.returncode == 0
    assert SECRET not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["error", "error"]
    assert all(line["error"].startswith("LookupError at ") for line in lines)
