"""The processes of ``serve``: how they are wired, started and told what to do.

::

    supervisor ──config──► release   ◄──socket pair──► keeper
               ──config──► keeper    ◄──socket pair──► gateway
               ──config──► gateway   ──ready line──► supervisor
               ──config──► attester  ◄──socket pair──► keeper   (where devices give evidence)
               ◄──decisions, acknowledged──► release

1. Make the socket pairs; the one to key release passes credentials from its first byte on.
2. For each child a pipe for its configuration; key release gets the passphrase by a second one.
3. Start it in a session of its own, with no descriptor but its own and its standard error.
4. Close what belongs to the children: when one dies, its peers see the end of the stream.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

import msgspec

from strongroom.cli import child
from strongroom.errors import EnvironmentLacks

_PIPE_BYTES = 65_536


@dataclass
class Child:
    """One running process. ``log`` takes its standard error, in which ``error`` may be found."""

    name: str
    process: subprocess.Popen[bytes]
    log: bytearray = field(default_factory=bytearray)

    @property
    def code(self) -> int | None:
        """The exit code once it has ended; negative for a signal."""
        return self.process.poll()

    def tell(self, line: bytes) -> None:
        """Write a line to the standard input of one that ``talks``, unless it has ended."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.write(line)
                self.process.stdin.flush()

    def hush(self) -> None:
        """End its standard input: it is told nothing more."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


@dataclass(frozen=True)
class Wires:
    """Descriptors of the children, made before any of them starts. Close it when all have."""

    release: socket.socket
    keeper_to_release: socket.socket
    keeper_to_gateway: socket.socket
    gateway: socket.socket
    ready_read: int
    ready_write: int

    @classmethod
    def make(cls) -> Wires:
        """Step 1."""
        release, keeper_to_release = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        keeper_to_gateway, gateway = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        release.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ready_read, False)
        return cls(release, keeper_to_release, keeper_to_gateway, gateway, ready_read, ready_write)

    def to_service(self, path: str) -> Wires:
        """The same, but for the keeper's socket: it leads to a key-release service at ``path``.

        Raises:
            EnvironmentLacks: ``cli.key_release_unreachable``.
        """
        self.release.close()
        self.keeper_to_release.close()
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.connect(path)
        except OSError as error:
            found.close()
            raise EnvironmentLacks(
                "cli.key_release_unreachable",
                f"No key-release service answers at {path}: {error.strerror or error}.",
                action="Start `strongroom release serve`, or forward its socket to that path.",
            ) from None
        return replace(self, keeper_to_release=found)

    def close_childrens(self) -> None:
        """Step 4."""
        for end in (self.release, self.keeper_to_release, self.keeper_to_gateway, self.gateway):
            end.close()
        os.close(self.ready_write)


def start(
    room: str,
    config: msgspec.Struct,
    *,
    pass_fds: Collection[int],
    environment: Mapping[str, str],
    talks: bool = False,
) -> Child:
    """Steps 2 and 3: start ``python -m strongroom.ROOM`` and tell it ``config``.

    ``talks``: there are pipes to its standard input and from its standard output.
    """
    with ExitStack() as stack:
        reading = pipe_with(msgspec.json.encode(config, order="deterministic"), stack)
        process = subprocess.Popen(
            [*child.INTERPRETER, "-m", f"strongroom.{room}", "--config-fd", str(reading)],
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(reading, *pass_fds),
            env=environment,
            cwd="/",
            start_new_session=True,
            preexec_fn=child.tied_to_parent(),  # safe: no thread has been started yet
        )
    return Child(room, process)


def pipe_with(content: bytes, stack: ExitStack) -> int:
    """The reading end of a pipe that holds ``content`` and then ends; ``stack`` closes it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    with os.fdopen(writing, "wb") as file:
        if len(content) > _PIPE_BYTES:
            import fcntl

            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, len(content))
        file.write(content)
    return reading
