"""A whole keeper in a test: a sealed model, the key-release process, the keeper process, and the
gateway's end of the boundary in the test's own hands."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.seal import seal
from strongroom.artifact.secret_access import TOKEN
from strongroom.artifact.signing import SigningKey
from strongroom.boundary import codec
from strongroom.boundary.frames import Hello, ToGateway, ToKeeper
from strongroom.keys.keyring import FileKeyring
from strongroom.release.policies.embedded import embedded
from strongroom.release.recording import acknowledgement
from strongroom.release.service_key import ServiceKey

SIGNER = SigningKey.from_seeds(bytes(range(64)))
PATIENCE = 120.0
AMPLE = {"bits_per_hour": 1e9, "bits_per_day": 1e10}


@dataclass
class Home:
    """A folder with keys and a sealed model; ``data_key`` is what the model is sealed with."""

    folder: Path
    sealed: Path
    service_key: ServiceKey
    data_key: bytes = b""
    changes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, model: Path, policy: DisclosurePolicy | None = None) -> Home:
        """Seal ``model`` for a fresh keyring."""
        keyring = FileKeyring.create(folder / "keyring", None)
        service = ServiceKey.create(folder / "service.key")
        home = cls(folder, folder / "sealed", service)

        def wrap(key: DataKey, context: bytes) -> Recipient:
            home.data_key = bytes(key.reveal(TOKEN))
            return keyring.wrap(key, context)

        seal(
            model,
            home.sealed,
            signer=SIGNER,
            wrap=[wrap],
            model_id="tiny",
            release=1,
            policy=policy or DisclosurePolicy(),
        )
        return home

    def release_config(self, descriptor: int) -> bytes:
        """What the key-release process is told."""
        return msgspec.json.encode(
            {
                "service_key": str(self.folder / "service.key"),
                "unlockers": [{"type": "keyring", "path": str(self.folder / "keyring")}],
                "release_fd": descriptor,
                "policy": embedded(),
                **self.changes.get("release", {}),
            }
        )

    def keeper_config(self, release: int, boundary: int) -> bytes:
        """What the keeper is told."""
        return msgspec.json.encode(
            {
                "sealed": str(self.sealed),
                "signers": [SIGNER.public.encode()],
                "service_key": base64.b64encode(self.service_key.public).decode(),
                "release_state": str(self.folder / "releases.json"),
                "egress_state": str(self.folder / "egress"),
                "release_fd": release,
                "boundary_fd": boundary,
                "deployment_budget": AMPLE,
                "tenant_budget": AMPLE,
                "max_streams": 2,
                "threads": 1,
                **self.changes.get("keeper", {}),
            }
        )


def start(command: Sequence[str], config: bytes, descriptors: Sequence[int]) -> Any:
    """A child that reads ``config`` from an inherited pipe and keeps ``descriptors``."""
    reader, writer = os.pipe()
    child = subprocess.Popen(
        [sys.executable, *command, str(reader)],
        pass_fds=[reader, *descriptors],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(config)
    return child


class KeyRelease:
    """A key-release process, and who keeps its record: here, in memory."""

    def __init__(self, home: Home) -> None:
        self.socket, theirs = socket.socketpair()
        command = ["-m", "strongroom.release", "--config-fd"]
        self.child = start(command, home.release_config(theirs.fileno()), [theirs.fileno()])
        theirs.close()
        self.decisions: list[dict[str, Any]] = []
        self._keeping = threading.Thread(target=self._keep, daemon=True)
        self._keeping.start()

    def outcomes(self) -> list[str]:
        """What was decided, in order."""
        return [each["outcome"] for each in self.decisions]

    def end(self) -> None:
        """Wait for its end, which comes with that of whoever holds the other socket."""
        self.socket.close()
        try:
            self.child.wait(PATIENCE)
        finally:
            self.child.kill()
            self._keeping.join(PATIENCE)
            for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _keep(self) -> None:
        for line in self.child.stdout:
            self.decisions.append(json.loads(line))
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.write(acknowledgement(self.decisions[-1]["decision"]))
                self.child.stdin.flush()


@contextlib.contextmanager
def key_release(home: Home) -> Iterator[KeyRelease]:
    """A running key-release process."""
    release = KeyRelease(home)
    try:
        yield release
    finally:
        release.end()


class RunningKeeper:
    """A keeper process, the gateway's end of its socket, and the key release that it asks."""

    def __init__(self, child: Any, boundary: socket.socket, release: KeyRelease) -> None:
        self.child = child
        self.release = release
        self.boundary = boundary
        self._buffer = codec.gateway_buffer()
        self._frames: list[ToGateway] = []
        self.said: list[dict[str, Any]] = []

    def send(self, *frames: ToKeeper) -> None:
        self.boundary.sendall(b"".join(codec.encode_to_keeper(frame) for frame in frames))

    def receive(self, patience: float = PATIENCE) -> ToGateway:
        """The next frame; EOFError when the keeper has hung up."""
        deadline = time.monotonic() + patience
        while not self._frames:
            self.boundary.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.boundary.recv(65_536)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            self._frames += [codec.decode_to_gateway(raw) for raw in self._buffer.feed(data)]
        return self._frames.pop(0)

    def until(self, kind: type, patience: float = PATIENCE) -> list[Any]:
        """Frames up to and including the first of ``kind``."""
        frames = [self.receive(patience)]
        while not isinstance(frames[-1], kind):
            frames.append(self.receive(patience))
        return frames

    def greeting(self) -> Hello:
        """The first frame."""
        try:
            frame = self.receive()
        except EOFError:
            raise AssertionError(f"the keeper did not start: {self.end()}") from None
        assert isinstance(frame, Hello)
        return frame

    def silent(self, seconds: float) -> bool:
        """Whether nothing arrives for so long."""
        return not self._frames and not select.select([self.boundary], [], [], seconds)[0]

    def end(self) -> tuple[int, dict[str, str] | None]:
        """Exit code, and the error line if there is one."""
        _, stderr = self.child.communicate(timeout=PATIENCE)
        lines = [line for line in stderr.decode().splitlines() if line.startswith("{")]
        self.said = [json.loads(line) for line in lines]
        return self.child.returncode, self.said[-1] if lines else None


@contextlib.contextmanager
def keeper(
    home: Home, command: Sequence[str] = ("-m", "strongroom.keeper", "--config-fd")
) -> Iterator[RunningKeeper]:
    """A keeper started the way ``strongroom serve`` starts it."""
    with key_release(home) as release:
        ours, theirs = socket.socketpair()
        fds = [release.socket.fileno(), theirs.fileno()]
        child = start(command, home.keeper_config(*fds), fds)
        release.socket.close()
        theirs.close()
        running = RunningKeeper(child, ours, release)
        try:
            yield running
        finally:
            ours.close()
            if child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.communicate(timeout=PATIENCE)
