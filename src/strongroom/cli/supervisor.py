"""Watches over key release, keeper and gateway from their start to their end.

1. Start all three; wait until the gateway listens, saying how far things are.
2. Watch. If keeper or gateway ends, or key release before the model is served, all are stopped and
   its error is the supervisor's. Key release that ends later leaves a keeper that may serve until
   its lease ends, and may not renew it: that is told, and borne. So is a decision that could not
   be recorded by then: key release, which is not told that it was, renews nothing.
3. SIGINT or SIGTERM: the gateway finishes what is under way, its end ends the keeper. Who does not
   end in time is told again, then killed. A second signal kills at once.

Single-threaded but for the spinner and the log: one selector over the children's outputs.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from strongroom.cli import output
from strongroom.cli.children import Child
from strongroom.errors import StrongroomError

DRAIN_SECONDS = 7.0
TERMINATE_SECONDS = 2.0
LAST_WORDS_SECONDS = 2.0
START_SECONDS = 600.0
_CHUNK = 65_536
_MOST_LOG = 256 * 1024


class ChildFailed(StrongroomError):
    """A child's error as its own; ``exit_code`` is what the child ended with."""

    def __init__(self, code: str, message: str, *, action: str, exit_code: int) -> None:
        super().__init__(code, message, action=action)
        self.exit_code = exit_code  # type: ignore[misc]  # of the instance: each child has its own


class Supervisor:
    """The children of one ``serve``.

    Args:
        children: in causal order: key release, keeper, gateway. Key release may run elsewhere.
        ready: descriptor on which the gateway says that it listens.
        decided: told each line in which key release says what it decided; returns what key release
            is told once that is recorded.
        stage: called with a sentence whenever the start has come further.
    """

    def __init__(
        self,
        children: Sequence[Child],
        ready: int,
        decided: Callable[[bytes], bytes],
        stage: Callable[[str], None],
    ) -> None:
        self._children = {each.name: each for each in children}
        self._stage = stage
        self._decided = decided
        self._undecided = bytearray()
        self._ready = bytearray()
        self._errors: dict[str, dict[str, Any]] = {}  # by child, in order of arrival
        self._signals: list[int] = []
        self._serving = self._lost = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(ready, selectors.EVENT_READ, self._hear_ready)
        for each in children:
            self._listen(each)

    def catch_signals(self) -> None:
        """From now on SIGINT and SIGTERM ask for an orderly end."""
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda _chunk: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_signal)

    def wait_ready(self) -> dict[str, Any] | None:
        """Step 1: what the gateway says of itself; None when a signal came first.

        Raises:
            ChildFailed: a child ended or failed.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self._signals:
            self._turn()
            self._require_alive()
            if b"\n" in self._ready:
                said: dict[str, Any] = json.loads(self._ready.partition(b"\n")[0])
                self._serving = True
                return said
            if time.monotonic() > deadline:
                raise ChildFailed(
                    "cli.start_too_slow",
                    f"The model was not ready after {START_SECONDS:.0f} seconds.",
                    action="Look for a slow disk or too little memory, and try again.",
                    exit_code=1,
                )
        return None

    def watch(self) -> int:
        """Step 2: blocks; returns the number of the signal that asked for the end.

        Raises:
            ChildFailed: a child ended or failed, and no signal came while the others were stopped.
        """
        try:
            while not self._signals:
                self._turn()
                self._require_alive()
                self._miss_release()
        except ChildFailed:
            self.stop()
            if not self._signals:
                raise
        return self._signals[0]

    def stop(self) -> None:
        """Step 3, whatever state the children are in. Idempotent."""
        if b"\n" in self._ready:  # before it listens, nothing is under way
            self._tell(("gateway",), signal.SIGTERM, DRAIN_SECONDS)
        self._tell(tuple(self._children), signal.SIGTERM, TERMINATE_SECONDS)
        self._tell(tuple(self._children), signal.SIGKILL, TERMINATE_SECONDS)
        for each in self._children.values():
            each.process.wait()

    def _tell(self, names: Sequence[str], number: signal.Signals, patience: float) -> None:
        """Signal the children named, then give all of them time to end."""
        if all(each.code is not None for each in self._children.values()):
            return
        for name in names:
            self._children[name].send(number)
        already = len(self._signals)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and len(self._signals) < max(2, already + 1):
            if all(each.code is not None for each in self._children.values()):
                return
            self._turn(0.05)

    def _require_alive(self) -> None:
        """Raise if a child has ended that should not have."""
        if not any(map(self._is_over, self._children.values())):
            return
        deadline = time.monotonic() + LAST_WORDS_SECONDS  # its peers may know why
        while time.monotonic() < deadline and not self._errors:
            if all(each.code is not None for each in self._children.values()):
                break
            self._turn(0.05)
        self._turn(0)
        raise self._failure()

    def _is_over(self, each: Child) -> bool:
        """Whether a child has ended without which it cannot go on."""
        may_end = each.name == "release" and (self._serving or each.code == 0)
        return each.code is not None and not may_end

    def _miss_release(self) -> None:
        """Say once that key release is gone, if it is."""
        release, keeper = self._children.get("release"), self._children["keeper"]
        if self._lost or release is None or release.code is None or keeper.code is not None:
            return
        self._lost = True
        said = self._errors.get("release", {}).get("message", f"exit code {release.code}")
        output.note(
            f"Key release has ended ({said}): the model is served until the lease of its key ends, "
            "then the key is asked for anew."
        )

    def _failure(self) -> ChildFailed:
        over = [each for each in self._children.values() if self._is_over(each)]
        if self._serving:
            self._errors.pop("release", None)  # that was borne
        killed = next((each for each in over if (each.code or 0) < 0), None)
        if killed is not None:
            return _killed(killed)
        silent = next((each for each in over if each.code and each.name not in self._errors), None)
        name = next(iter(self._errors), None)  # the first to speak is the cause of the rest
        order = list(self._children)
        if name is None or (silent and order.index(silent.name) < order.index(name)):
            return _ended(silent or over[0])
        said = self._errors[name]
        if name == "gateway" and str(said["error"]).startswith("keeper."):
            name = "keeper"  # whose last word it passed on
        return ChildFailed(
            str(said["error"]),
            str(said.get("message", "")),
            action=str(said.get("action", "")),
            exit_code=self._children[name].process.wait() or 1,
        )

    def _turn(self, patience: float = 0.5) -> None:
        """Take in what there is, at most ``patience`` seconds later."""
        for key, _ in self._selector.select(patience):
            chunk = os.read(key.fd, _CHUNK)
            if chunk:
                key.data(chunk)
            else:
                self._selector.unregister(key.fileobj)

    def _listen(self, each: Child) -> None:
        if each.process.stderr is not None:
            os.set_blocking(each.process.stderr.fileno(), False)
            self._selector.register(
                each.process.stderr.fileno(),
                selectors.EVENT_READ,
                lambda chunk: self._hear_error(each, chunk),
            )
        if each.process.stdout is not None:
            self._selector.register(
                each.process.stdout.fileno(),
                selectors.EVENT_READ,
                lambda chunk: self._hear_decision(each, chunk),
            )

    def _hear_ready(self, chunk: bytes) -> None:
        self._ready += chunk

    def _hear_error(self, each: Child, chunk: bytes) -> None:
        """Pass on what a child prints, but its error, which is kept."""
        each.log += chunk
        del each.log[:-_MOST_LOG]
        *lines, rest = bytes(each.log).split(b"\n")
        each.log[:] = rest
        for line in lines:
            said = _error_in(line)
            if said is None:
                os.write(2, f"{each.name}: ".encode() + line + b"\n")
            else:
                self._errors.setdefault(each.name, said)

    def _hear_decision(self, each: Child, chunk: bytes) -> None:
        self._undecided += chunk
        *lines, rest = bytes(self._undecided).split(b"\n")
        self._undecided[:] = rest
        for line in lines:
            try:
                each.tell(self._decided(line))
            except StrongroomError as error:
                if not self._serving:
                    raise
                output.note(f"A decision of key release is not in the record: {error}")
            if b'"outcome":"released"' in line:
                self._stage("Key released; opening the model, warming up, raising the walls")

    def _note_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)


def _error_in(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    is_error = isinstance(said, dict) and said.keys() == {"error", "message", "action"}
    return said if is_error else None


def _ended(each: Child) -> ChildFailed:
    return ChildFailed(
        "cli.child_ended",
        f"The {each.name} process ended without saying why (exit code {each.code}).",
        action="Look at what it printed above, and start again.",
        exit_code=each.code or 1,
    )


def _killed(each: Child) -> ChildFailed:
    number = -(each.code or 0)
    name = signal.Signals(number).name
    if each.name == "keeper" and number == signal.SIGSYS:
        return ChildFailed(
            "cli.keeper_broke_wall",
            "The keeper made a system call that its walls forbid, and was killed.",
            action="Treat it as an attack or a defect: keep the logs, and report it.",
            exit_code=1,
        )
    hint = " Most often the memory did not suffice." if number == signal.SIGKILL else ""
    return ChildFailed(
        "cli.child_killed",
        f"The {each.name} process was ended by {name}.{hint}",
        action="Look into the kernel's log, and start again.",
        exit_code=1,
    )
