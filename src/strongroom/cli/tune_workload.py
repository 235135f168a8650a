"""What a tuning job's processes run with, and one of them with the key release that it asks.

::

    runner ──config──► release  ◄──socket pair──► the process that trains, or seals
           ◄───────────── socket pair ──────────►
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from strongroom.cli import child, children, decisions
from strongroom.cli.children import Child, Wires
from strongroom.cli.plan import Plan
from strongroom.cli.starting import start_release
from strongroom.cli.supervisor import ChildFailed
from strongroom.errors import ConfigurationRefused
from strongroom.ledger.log_key import LogKey
from strongroom.release.service_key import ServiceKey
from strongroom.store.tuning import StoredEvent, TuningStore


class Asked:
    """Whether a signal asked to stop: the first after the step that runs, the second at once."""

    def __init__(self) -> None:
        self.stop = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True


@dataclass(frozen=True)
class Place:
    """What jobs run with: a sealed base and who may have its key, the store, the home's secret."""

    plan: Plan
    secret: bytes | None
    store: TuningStore
    asked: Asked = field(default_factory=Asked)

    def folder(self, job: str) -> Path:
        """The folder of a job, made if need be."""
        folder = self.plan.home.state / "tuning" / job
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def note(self, job: str, message: str, *, error: bool = False, **more: Any) -> None:
        """Add an event to a job."""
        level = "error" if error else "info"
        self.store.add_event(StoredEvent(job, 0, int(time.time()), level, message, **more))  # type: ignore[arg-type]


@contextmanager
def locked(place: Place, job: str) -> Iterator[None]:
    """Step 1.

    Raises:
        ConfigurationRefused: ``tune.job_runs``.
    """
    descriptor = os.open(place.folder(job) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationRefused(
                "tune.job_runs",
                f"The job {job} has a runner already.",
                action="Follow it with `strongroom tune show`, or cancel it.",
            ) from None
        yield
    finally:
        os.close(descriptor)


class Workload:
    """A process that obtains the base's key, with the key release that it asks.

    Args:
        place: what it runs with.
        room: the module that it runs.
        make: its configuration, from what every such process is told (``common``) and the
            descriptor of its socket to the runner.
        secret: whether it is handed the home's secret, as ``passphrase_fd``.
    """

    def __init__(
        self,
        place: Place,
        room: str,
        make: Callable[[dict[str, Any], int], msgspec.Struct],
        *,
        secret: bool = False,
    ) -> None:
        plan = place.plan
        wires = Wires.make()
        self._place = place
        self._release = start_release(plan, wires, place.secret)
        self._ready = wires.ready_read
        self.socket = wires.gateway.dup()
        with ExitStack() as stack:
            fds = [wires.keeper_to_release.fileno(), wires.keeper_to_gateway.fileno()]
            common = _common(plan, fds[0])
            if secret and place.secret is not None:
                fds.append(children.pipe_with(place.secret, stack))
                common["passphrase_fd"] = fds[-1]
            self._process = children.start(
                room,
                make(common, fds[1]),
                pass_fds=fds,
                environment=child.environment(plan.threads),
            )
        wires.close_childrens()
        home = plan.home
        self._keeping = decisions.Keeping(self._release, home.state, LogKey.load(home.log_key))

    def end(self) -> None:
        """Wait for both.

        Raises:
            StrongroomError: why a decision of key release could not be recorded.
            ChildFailed: the error of the process, or of key release where that is why.
        """
        self.socket.close()
        os.close(self._ready)
        said = self._process.process.communicate()[1]
        refused = self._keeping.end()
        if self._process.code:
            raise _failure(self._process, said)
        if self._release.code:
            raise _failure(self._release, refused)

    def kill(self) -> None:
        """End both at once, if they have not ended."""
        self.socket.close()
        for each in (self._process, self._release):
            each.send(signal.SIGKILL)
            each.process.wait()


def _common(plan: Plan, release_fd: int) -> dict[str, Any]:
    service = ServiceKey.load(plan.home.keys / "service.key")
    return {
        "sealed": str(plan.sealed),
        "signers": tuple(signer.encode() for signer in plan.home.signers),
        "service_key": base64.b64encode(service.public).decode(),
        "release_state": str(plan.home.state / "releases.json"),
        "release_fd": release_fd,
    }


def _failure(each: Child, said: bytes) -> ChildFailed:
    """A child's own last words, or that it had none."""
    for line in said.splitlines():
        with suppress(ValueError, AttributeError):
            words = json.loads(line)
            if words.keys() == {"error", "message", "action"}:
                return ChildFailed(
                    words["error"],
                    words["message"],
                    action=words["action"],
                    exit_code=max(each.code or 1, 1),
                )
    return ChildFailed(
        "cli.trainer_ended",
        f"The {each.name} process ended without saying why (exit code {each.code}).",
        action="Look into the kernel's log, and resume the job.",
        exit_code=1,
    )
