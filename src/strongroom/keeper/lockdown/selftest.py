"""Attack the walls for real: each primitive in a child without walls, and in one with them.

Without walls it must work, or at least reach the kernel, or the test would prove nothing; behind
them it must end the process or meet the refusal that the walls are built to give. One clean
interpreter with one thread forks all children. Run by the tests, the demonstration and ``doctor``:
``python -m strongroom.keeper.lockdown.selftest [no-exec|jit]`` prints the outcomes as JSON.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Final

from strongroom.errors import EnvironmentLacks
from strongroom.keeper.lockdown.kernel import Unavailable
from strongroom.keeper.lockdown.primitives import PRIMITIVES, Group, Primitive
from strongroom.keeper.lockdown.seccomp import Profile
from strongroom.keeper.lockdown.walls import lock

JIT_ALLOWS: Final = frozenset({"writable code", "new code", "data into code"})
"""What the profile ``jit`` leaves open on purpose: it makes code while it serves."""

_STANDARD: Final = (0, 1, 2)
_PATIENCE_SECONDS: Final = 120
_CHILD_SECONDS: Final = 10
# Exit codes of a child: 0 is success, an errno a refusal; the highest errno is 133.
_ABSENT, _NO_WALLS, _BROKEN = 199, 198, 197
_SAID: Final = {
    0: "worked",
    _ABSENT: "absent",
    _NO_WALLS: "walls failed",
    _BROKEN: "broken",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one primitive.

    ``unlocked`` and ``locked``: ``worked``, ``killed`` (by seccomp), ``errno NAME``, or what went
    wrong. ``refused``: the walls stopped it as they are meant to. ``control``: without walls it
    worked or, where it needs more than this user may, reached the kernel.
    """

    name: str
    group: Group
    unlocked: str
    locked: str
    refused: bool
    control: bool


def run_selftest(profile: Profile = "no-exec") -> list[Outcome]:
    """Try every primitive that this kernel has and ``profile`` refuses.

    Takes a second or two and leaves no trace.

    Raises:
        EnvironmentLacks: ``keeper.selftest_failed``, the clean interpreter did not answer.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "strongroom.keeper.lockdown.selftest", profile],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=True,
        )
        return [Outcome(**row) for row in json.loads(done.stdout)]
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        raise EnvironmentLacks(
            "keeper.selftest_failed",
            "The self-test of the walls could not be run to its end.",
            action="Run `python -m strongroom.keeper.lockdown.selftest no-exec` to see why.",
        ) from None


def attack(primitive: Primitive, profile: Profile) -> Outcome | None:
    """Try one primitive; None if this kernel does not have it. Forks: call it on one thread."""
    unlocked = _in_child(primitive, None)
    if unlocked in ("absent", "errno ENOSYS"):
        return None
    locked = _in_child(primitive, profile)
    reached = unlocked == "worked" or (not primitive.works and unlocked.startswith("errno "))
    return Outcome(
        primitive.name,
        primitive.group,
        unlocked,
        locked,
        refused=locked == (_told(primitive.refusal) if primitive.refusal else "killed"),
        control=reached,
    )


def _in_child(primitive: Primitive, profile: Profile | None) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            _try_and_exit(primitive, profile)
        finally:  # whatever happens, the child never runs its parent's code
            os._exit(_BROKEN)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "killed" if number == signal.SIGSYS else f"signal {number}"
    return _told(os.WEXITSTATUS(status))


def _try_and_exit(primitive: Primitive, profile: Profile | None) -> None:
    signal.alarm(_CHILD_SECONDS)
    try:
        ready = primitive.prepare()
        if profile and lock(profile, keep_fds=(*_STANDARD, *ready.keep))["seccomp"] != "on":
            os._exit(_NO_WALLS)
        ready.attempt()
    except OSError as error:
        os._exit(error.errno or _BROKEN)
    except Unavailable:
        os._exit(_ABSENT)
    os._exit(0)


def _told(code: int) -> str:
    return _SAID.get(code) or f"errno {errno.errorcode.get(code, code)}"


def main() -> None:
    """All outcomes as JSON on standard output."""
    profile: Profile = "jit" if sys.argv[1:] == ["jit"] else "no-exec"
    allowed = JIT_ALLOWS if profile == "jit" else frozenset()
    outcomes = (attack(tried, profile) for tried in PRIMITIVES if tried.name not in allowed)
    sys.stdout.write(json.dumps([asdict(outcome) for outcome in outcomes if outcome]) + "\n")


if __name__ == "__main__":
    main()
