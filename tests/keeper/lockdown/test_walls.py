"""``lock`` raises what it says, on every thread, and fails closed."""

from __future__ import annotations

import json
import resource
import socket
from pathlib import Path

import pytest

from strongroom.errors import EnvironmentLacks
from strongroom.keeper import lockdown
from strongroom.keeper.lockdown import kernel

from .children import SIGSYS, run_child


def test_all_walls_stand_where_the_kernel_has_them() -> None:
    done = run_child(
        """
        import json
        from strongroom.keeper import lockdown
        start_native_worker()
        os.write(1, json.dumps(lockdown.lock("no-exec", keep_fds=[1, 2])).encode())
        os._exit(0)
        """
    )
    walls = json.loads(done.stdout)
    offered = lockdown.probe()
    assert tuple(walls) == lockdown.WALLS
    assert {name: state == "on" for name, state in walls.items()} == {
        name: offered[name].available for name in walls
    }


OBSERVED = """
import sys
from strongroom.keeper import lockdown
for _ in range(3):
    start_native_worker()
ours, theirs = os.pipe(), os.pipe()
if os.fork() == 0:  # looks at its parent from outside, once told to
    os.close(ours[1])
    os.read(ours[0], 1)
    tasks = f"/proc/{os.getppid()}/task"
    for task in sorted(os.listdir(tasks)):
        lines = [line.split() for line in open(f"{tasks}/{task}/status")]
        state = {line[0]: line[1] for line in lines if len(line) > 1}
        print(*(state[key + ":"] for key in ("CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")))
    sys.stdout.flush()
    os._exit(0)
os.close(theirs[1])
if sys.argv[1] == "locked":
    lockdown.lock("no-exec", keep_fds=[1, 2, ours[1], theirs[0]])
os.write(ours[1], b"look")
os.read(theirs[0], 1)  # until the observer has gone
os._exit(0)
"""


def test_every_thread_is_behind_them() -> None:
    free = run_child(OBSERVED, "free").stdout.splitlines()
    locked = run_child(OBSERVED, "locked").stdout.splitlines()
    assert len(free) == len(locked) == 4
    assert {line.split()[2:] == ["0", "0"] for line in free} == {True}  # the control
    assert {(int(line.split()[0], 16), *line.split()[2:]) for line in locked} == {(0, "1", "2")}


def test_capabilities_cannot_come_back_for_root() -> None:
    locked = run_child(OBSERVED, "locked").stdout.splitlines()
    if int(run_child(OBSERVED, "free").stdout.split()[0], 16) == 0:
        pytest.skip("this user holds no capability that could be dropped")
    assert {int(line.split()[1], 16) for line in locked} == {0}


@pytest.mark.parametrize(("blocked", "said"), [(False, "on"), (True, "1 older threads")])
def test_a_thread_that_does_not_answer_is_never_taken_for_covered(blocked: bool, said: str) -> None:
    done = run_child(
        """
        import sys
        from strongroom.keeper import lockdown
        from strongroom.keeper.lockdown import threads
        threads.PATIENCE_SECONDS = 0.2
        if sys.argv[1] == "True":
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        start_native_worker()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 65))
        walls = lockdown.lock("no-exec", keep_fds=[1, 2])
        os.write(1, f"{walls['landlock']}; {walls['seccomp']}".encode())
        os._exit(0)
        """,
        str(blocked),
    )
    landlock, seccomp = done.stdout.split("; ")
    assert said in landlock
    assert seccomp == "on"  # TSYNC needs nobody's answer


def test_a_thread_of_python_is_never_taken_for_covered() -> None:
    done = run_child(
        """
        import threading
        from strongroom.errors import EnvironmentLacks
        from strongroom.keeper import lockdown
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        try:
            lockdown.lock("no-exec", keep_fds=[1, 2], required=["landlock"])
        except EnvironmentLacks as error:
            os.write(1, error.code.encode())
        os._exit(0)
        """
    )
    assert done.stdout == "keeper.wall_missing"


def test_a_forked_process_knows_its_own_threads() -> None:
    done = run_child(
        """
        from strongroom.keeper import lockdown
        start_native_worker()
        if os.fork() == 0:
            os.write(1, lockdown.lock("no-exec", keep_fds=[1, 2])["landlock"].encode())
            os._exit(0)
        os.wait()
        """
    )
    assert (done.stdout == "on") == lockdown.probe()["landlock"].available


def test_a_required_wall_that_does_not_stand_is_an_error() -> None:
    done = run_child(
        """
        from strongroom.errors import EnvironmentLacks
        from strongroom.keeper import lockdown
        try:
            lockdown.lock("jit", keep_fds=[1, 2], required=["seccomp", "mdwe"])
        except EnvironmentLacks as error:
            os.write(1, str(error).encode())
        os._exit(0)
        """
    )
    assert "[keeper.wall_missing]" in done.stdout
    assert "'mdwe'" in done.stdout


def test_a_wall_that_nobody_knows_is_refused_before_any_is_raised() -> None:
    with pytest.raises(EnvironmentLacks) as caught:
        lockdown.lock("no-exec", keep_fds=[], required=["moat"])
    assert caught.value.code == "keeper.wall_unknown"
    Path(__file__).read_bytes()  # nothing was raised: this process still reads files


def test_an_unknown_architecture_has_reasons_and_no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MACHINE", "riscv64")
    monkeypatch.setattr(kernel, "_SUPPORTED", False)
    found = lockdown.probe()
    for name in ("seccomp", "landlock", "capabilities"):
        assert not found[name].available
        assert "riscv64" in found[name].detail
    assert found["not-dumpable"].available


def test_asking_changes_nothing() -> None:
    def state() -> tuple[object, ...]:
        lines = Path("/proc/self/status").read_text().splitlines()
        kept = ("Cap", "NoNewPrivs", "Seccomp", "Threads")
        limits = [resource.getrlimit(limit) for limit in range(16)]
        files = sorted(path.name for path in Path("/proc/self/fd").iterdir())
        return [line for line in lines if line.startswith(kept)], limits, files

    before = state()
    found = lockdown.probe()
    assert state() == before
    assert set(lockdown.WALLS) < set(found)
    assert all(result.detail for result in found.values())


ALONE = {
    # wall: how it is raised, what then fails, and how
    "descriptors": ("descriptors.close_all_but([1, 2, kept])", "os.fstat(other)", "EBADF"),
    "limits-size": ("limits.lower([1, 2, kept])", "os.write(kept, b'x')", "EFBIG"),
    "limits-descriptors": ("limits.lower([1, 2, kept, other])", "os.dup(1)", "EMFILE"),
    "mdwe-map": ("process_flags.refuse_new_code()", "mmap.mmap(-1, 4096, prot=7)", "EACCES"),
    "mdwe-turn": ("process_flags.refuse_new_code()", "turn_into_code()", "EACCES"),
    "landlock-read": ("landlock.refuse_everything(all)", "os.listdir('/')", "EACCES"),
    "landlock-write": ("landlock.refuse_everything(all)", "os.open('/dev/null', 1)", "EACCES"),
    "landlock-bind": ("landlock.refuse_everything(all)", "tcp.bind(('127.0.0.1', 0))", "EACCES"),
    "landlock-connect": ("landlock.refuse_everything(all)", "connect()", "EACCES"),
    "landlock-signal": ("landlock.refuse_everything(all)", "os.kill(os.getppid(), 0)", "EPERM"),
    "landlock-abstract": ("landlock.refuse_everything(all)", "abstract()", "EPERM"),
    "capabilities": ("capabilities.drop_all(all)", "os.chroot('/')", "EPERM"),
}


@pytest.mark.parametrize("wall", ALONE)
def test_each_wall_holds_alone(wall: str, tmp_path: Path) -> None:
    """So that none merely hides behind seccomp, which could be missing."""
    offered = lockdown.probe()
    if not offered[wall.partition("-")[0]].available:
        pytest.skip(f"this kernel has no {wall}")
    if wall == "capabilities" and offered[wall].detail == "none held":
        pytest.skip("this user holds no capability that could be dropped")
    raised, attempt, refusal = ALONE[wall]
    code = """
        import errno, mmap, socket, sys
        from strongroom.keeper.lockdown import (
            capabilities, descriptors, kernel, landlock, limits, process_flags
        )
        from strongroom.keeper.lockdown.threads import Threads
        wall, raised, attempt, server, folder = sys.argv[1:]
        def turn_into_code():
            address = kernel.call("mmap", 0, 4096, 3, 0x22, -1, 0)
            kernel.call("mprotect", address, 4096, 5)
        def connect():
            tcp.connect(("127.0.0.1", int(server)))
        def abstract():
            socket.socket(socket.AF_UNIX).connect("\\0strongroom-test-" + server)
        def tried():
            try:
                eval(attempt)
                return "worked"
            except OSError as error:
                return errno.errorcode[error.errno]
        kept = os.open(folder, os.O_TMPFILE | os.O_RDWR)
        other = os.dup(kept)
        tcp = socket.socket()
        if wall == "free":
            os.write(1, tried().encode())
        else:
            all = Threads()
            process_flags.refuse_new_privileges(all)
            eval(raised)
            os.write(1, tried().encode())
        os._exit(0)
        """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(f"\0strongroom-test-{port}")
            unix.listen()
            given = (raised, attempt, port, str(tmp_path))
            assert run_child(code, "free", *given).stdout == "worked"
            assert run_child(code, wall, *given).stdout == refusal


def test_a_call_that_no_rule_names_ends_the_process() -> None:
    done = run_child(
        """
        import socket
        from strongroom.keeper import lockdown
        lockdown.lock("no-exec", keep_fds=[1, 2])
        os.write(1, b"standing")
        socket.socket()
        os.write(1, b"never reached")
        """
    )
    assert (done.returncode, done.stdout) == (SIGSYS, "standing")


def test_closing_without_close_range_closes_the_same() -> None:
    code = """
        import sys
        from strongroom.keeper.lockdown import descriptors, kernel
        def refuse(*_):
            raise kernel.Unavailable("as before Linux 5.9")
        if sys.argv[1] == "older":
            kernel.call = refuse
        kept = os.dup2(1, 40)
        os.dup2(1, 41)
        descriptors.close_all_but([0, 1, 2, kept])
        left = []
        for number in range(100):
            try:
                os.fstat(number)
                left.append(number)
            except OSError:
                pass
        print(left)
        """
    for kind in ("newer", "older"):
        assert run_child(code, kind).stdout == "[0, 1, 2, 40]\n"
