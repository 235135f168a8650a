"""A real server for an audit, which leaves no trace in the owner's home.

1. A home of its own, in a private temporary folder, with fresh keys and the owner's limits.
2. A copy of the sealed model that names this home's key as one more recipient; the owner's data key
   is wrapped for it and never written.
3. A key for one organisation of every rung that the sealed policy grants.
4. ``strongroom serve`` as a child; ended with everything below it, and the folder removed.

Where answers carry scores one attack can spend an hour's egress; each then gets a server whose
budgets are whole (``renew``), so that a cell does not depend on what ran before it.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from strongroom.cli.audit_drill import drill_keys
from strongroom.cli.home import Home
from strongroom.exposure.ladder import SERVED, Rung
from strongroom.exposure.reasons import refuse

_START_SECONDS = 300
_STOP_SECONDS = 30
_COMMAND = (sys.executable, "-c", "from strongroom.cli.main import main; main()")
_KEPT = ("egress", "compute", "text", "pacing", "detection")
"""Sections of the owner's settings that are part of the door's policy and hold no secret."""

_SERVING = ("profile", "threads", "max_streams", "context_length", "patrol_seconds")


class ServedDoor:
    """A running server: where it listens, what the model is called there, a key for each rung.

    ``home`` and ``sealed`` are the audit's own; ``drills`` are keys of organisations of the drills,
    by name; ``pid`` is that of the process above all of the server's.
    """

    def __init__(
        self,
        home: Path,
        sealed: Path,
        log: Path,
        keys: Mapping[Rung, str],
        drills: Mapping[str, str],
    ) -> None:
        self.home, self.sealed, self._log = home, sealed, log
        self.drills = drills
        self.pid = 0
        self._stack = ExitStack()
        self.keys = keys
        self.url = ""
        self.model = ""
        self._used = False
        self._start()

    def renew(self) -> None:
        """Start anew, if it was used, with all budgets whole: each attacker is an hour's first."""
        if self._used:
            self.stop()
            self._start()
        self._used = True

    def use(self) -> None:
        """Somebody will ask and spend."""
        self._used = True

    @contextmanager
    def aside(self, settings: str) -> Iterator[Server]:
        """Another server in its place while the block runs, with this ``strongroom.toml``."""
        file = self.home / "strongroom.toml"
        own = file.read_text(encoding="utf-8")
        self.stop()
        try:
            file.write_text(settings, encoding="utf-8")
            with _running(self.home, self.sealed, self._log) as server:
                yield server
        finally:
            file.write_text(own, encoding="utf-8")
            self._start()

    def _start(self) -> None:
        self._used = False
        (self.home / "state" / "egress.state").unlink(missing_ok=True)
        server = self._stack.enter_context(_running(self.home, self.sealed, self._log))
        said = server.said()
        self.url, self.model, self.pid = said["url"], said["model"], server.pid

    def stop(self) -> None:
        """End the server."""
        self._stack.close()


@contextmanager
def served(
    home: Home, sealed: Path, rungs: Mapping[str, str], passphrase_file: Path | None
) -> Iterator[ServedDoor]:
    """The door while the block runs.

    Args:
        home: the owner's.
        sealed: the model.
        rungs: its sealed policy, organisation to rung, ``*`` being everybody else.
        passphrase_file: of the owner's home, if it has one.

    Raises:
        ExposureRefused: ``exposure.server_failed``.
    """
    work = Path(tempfile.mkdtemp(prefix="strongroom-audit-"))
    try:
        own = work / "home"
        copy = _prepare(work, own, home, sealed, passphrase_file)  # (1) (2)
        keys = {rung: _key(own, name) for rung, name in organisations(rungs).items()}  # (3)
        door = ServedDoor(own, copy, work / "serve.log", keys, drill_keys(own))  # (4)
        try:
            yield door
        finally:
            door.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def organisations(rungs: Mapping[str, str]) -> dict[Rung, str]:
    """For each rung that is served to somebody, an organisation that holds it."""
    found: dict[Rung, str] = {}
    for name, rung in sorted(rungs.items()):
        if rung in set(SERVED):
            found.setdefault(Rung(rung), "exposure-audit" if name == "*" else name)
    return found


def _prepare(work: Path, own: Path, home: Home, sealed: Path, passphrase_file: Path | None) -> Path:
    public = work / "audit.recipient"
    run_strongroom("init", "--name", "exposure audit", "--home", own)
    identity = own / "keys" / "audit.identity"
    run_strongroom("recipient", "create", "--out", public, "--identity", identity, "--home", own)
    shutil.copyfile(home.signers_file, own / "trust" / "signers.toml")
    (own / "strongroom.toml").write_text(settings_text(home), encoding="utf-8")
    copy = work / sealed.resolve().name
    shutil.copytree(sealed, copy, copy_function=link_or_copy)
    words: list[str | Path] = ["rewrap", copy, "--add", public, "--home", home.path]
    if passphrase_file is not None:
        words += ["--passphrase-file", passphrase_file]
    run_strongroom(*words)
    return copy


def settings_text(home: Home, **changed: object) -> str:
    """The audit's ``strongroom.toml``: the owner's limits, its own key, a free port.

    ``changed``: settings of ``serving`` that are not the owner's.
    """
    settings = msgspec.to_builtins(home.settings)
    serving = settings["serving"]
    kept: dict[str, Any] = {name: settings[name] for name in _KEPT}
    kept["serving"] = {name: serving[name] for name in _SERVING} | changed
    lines = ["[[unlock]]", 'type = "hpke"', 'path = "keys/audit.identity"']
    for name, section in kept.items():
        lines += _table(name, section)
    return "\n".join(lines) + "\n"


def _table(name: str, section: Mapping[str, Any]) -> list[str]:
    """A section as TOML: its plain values, then its inner sections."""
    lines = [f"[{name}]"]
    lines += [
        f"{key} = {json.dumps(value)}"
        for key, value in section.items()
        if not isinstance(value, dict) and value is not None
    ]
    for key, value in section.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}", value)
    return lines


def link_or_copy(source: str, target: str) -> str:
    """For ``copytree``, of files that are not written to: a link where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _key(home: Path, organisation: str) -> str:
    said = run_strongroom("key", "create", "--org", organisation, "--home", home, "--json")
    return str(json.loads(said)["key"])


def run_strongroom(*words: str | Path) -> str:
    """What the command line prints; ``exposure.server_failed`` where it fails."""
    done = subprocess.run(
        [*_COMMAND, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise refuse("exposure.server_failed", why=_sentence(last))
    return done.stdout


@dataclass(frozen=True)
class Server:
    """A ``strongroom serve`` that was started, and the file that takes its errors."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Of the process above all of the server's."""
        return self.process.pid

    def said(self) -> dict[str, Any]:
        """Address and model: what it says next, once it listens, for the first time or afresh.

        Raises:
            ExposureRefused: ``exposure.server_failed``: it ended, or is silent for too long.
        """
        return _said(self.process, self.log)


@contextmanager
def _running(home: Path, sealed: Path, log: Path) -> Iterator[Server]:
    words = ["--home", str(home), "serve", str(sealed), "--port", "0", "--json"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*_COMMAND, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Server(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The line that says where it listens."""
    stream, pending = process.stdout, b""
    until = time.monotonic() + _START_SECONDS
    if stream is not None:
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in pending and selector.select(max(0.0, until - time.monotonic())):
                chunk = os.read(stream.fileno(), 65_536)
                if not chunk:
                    break
                pending += chunk
    try:
        said = json.loads(pending.partition(b"\n")[0])
        return {"url": said["url"], "model": said["model"]}
    except (ValueError, KeyError, TypeError):
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise refuse("exposure.server_failed", why=_sentence(last)) from None


def _sentence(lines: list[str]) -> str:
    """What the command line's last words say, out of its JSON where they are that."""
    refused = [line for line in lines if line.startswith("Refused: ")]
    last = (refused or lines or ["it said nothing"])[-1].removeprefix("Refused: ")
    try:
        found = json.loads(last)
        return f"{str(found['message']).rstrip('.')} ({found['error']})"
    except (ValueError, KeyError, TypeError):
        return last[:300]
