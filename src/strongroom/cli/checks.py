"""What ``doctor`` looks at. Each check tells what it found, how good that is, and what to do.

Nothing here changes anything; walls are probed in a child.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from strongroom.cli.home import Home, open_home
from strongroom.errors import StrongroomError

State = Literal["ok", "warn", "fail"]
LEAST_CRYPTOGRAPHY = (50, 0, 2)
_LEAST_FREE = 1024**3
_MODEL_SIZES = {"135 million": 135_000_000, "7 billion": 7 * 10**9, "70 billion": 70 * 10**9}


@dataclass(frozen=True)
class Check:
    """One line: ``action`` says what to do where ``state`` is not ``ok``."""

    name: str
    state: State
    found: str
    action: str = ""


def all_checks(home_path: Path) -> Iterator[Check]:
    """Every check, as it is done."""
    from strongroom.cli.checks_record import check_record

    home = None
    try:
        home = open_home(home_path)
        yield from check_home(home)
    except StrongroomError as error:
        state: State = "warn" if error.code == "cli.no_home" else "fail"
        yield Check("home", state, error.message, error.action)
    yield check_user()
    yield check_cryptography()
    yield check_torch()
    yield from check_walls(home)
    yield check_ptrace(Path("/proc/sys/kernel/yama/ptrace_scope"))
    yield check_core_dumps(Path("/proc/sys/kernel/core_pattern"))
    yield check_swap(Path("/proc/swaps"), Path("/sys/class/block"))
    yield check_huge_pages(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    if home is not None:
        yield check_storage(home.path, Path("/proc/self/mountinfo"))
        yield from check_record(home, Path("/proc/locks"))
        yield from check_egress(home)


def check_home(home: Home) -> Iterator[Check]:
    """Permissions held when it was opened; now the settings, the trust and the keys."""
    from strongroom.cli import passphrase

    _ = home.settings  # raises if they are not acceptable
    yield Check("home", "ok", f"{home.path}: owner, modes and settings are good")
    count = len(home.signers)
    yield (
        Check("trust", "ok", f"{count} trusted to sign")
        if count
        else Check("trust", "warn", "nobody is trusted to sign", f"Fill {home.signers_file}.")
    )
    if passphrase.is_protected(home):
        yield Check("keyring", "ok", "protected by a passphrase")
    else:
        action = "For more, make the home with `init --passphrase` and keep the disk encrypted."
        yield Check("keyring", "ok", f"protected by file modes alone. {action}")


def check_user() -> Check:
    """An ordinary user is better than root."""
    if os.geteuid() != 0:
        return Check("user", "ok", f"user {os.geteuid()}, not root")
    action = "Serve as a user of its own: less to lose if a process is taken over."
    return Check("user", "warn", "running as root", action)


def check_cryptography() -> Check:
    """Older ones lack what is needed, or hold the interpreter's lock while they decrypt."""
    found = version("cryptography")
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:3])
    least = ".".join(map(str, LEAST_CRYPTOGRAPHY))
    if numbers >= LEAST_CRYPTOGRAPHY:
        return Check("cryptography", "ok", f"{found}, at least {least}")
    return Check("cryptography", "fail", f"{found}, older than {least}", "Upgrade it.")


def check_torch() -> Check:
    """The engine's library, and how far it can use this processor."""
    try:
        found = version("torch")
    except PackageNotFoundError:
        action = "To serve from here: pip install 'strongroom[serve]'."
        return Check("torch", "warn", "not installed", action)
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    cores = len(os.sched_getaffinity(0))
    return Check("torch", "ok", f"{found}, {capability}, {cores} cores")


def check_walls(home: Home | None) -> Iterator[Check]:
    """Which walls the keeper can raise on this kernel; missing ones that are required fail."""
    from strongroom.keeper import lockdown

    required = home.settings.serving.required_walls if home else ()
    for name, found in lockdown.probe().items():
        if found.available:
            yield Check(f"wall {name}", "ok", found.detail)
        else:
            state: State = "fail" if name in required else "warn"
            action = "Use a newer kernel, or a container runtime that allows it."
            yield Check(f"wall {name}", state, found.detail, action)


def check_ptrace(path: Path) -> Check:
    """Yama's setting; the keeper itself is not dumpable, which refuses the same user's tracers."""
    scope = _read(path)
    if scope in ("1", "2", "3"):
        return Check("ptrace", "ok", f"ptrace_scope is {scope}")
    found = "this kernel has no Yama" if scope is None else f"ptrace_scope is {scope}"
    found += "; the keeper and key release refuse tracers of the same user by themselves"
    return Check("ptrace", "warn", found, "Boot with Yama and set kernel.yama.ptrace_scope to 1.")


def check_core_dumps(path: Path) -> Check:
    """Children forbid core dumps for themselves; a dump of this process holds no weight."""
    pattern = _read(path) or "unknown"
    limit = resource.getrlimit(resource.RLIMIT_CORE)[0]
    where = "off here" if limit == 0 else f"on here ({pattern[:60]})"
    return Check("core dumps", "ok", f"{where}; always off in the keeper and in key release")


def check_swap(swaps: Path, blocks: Path) -> Check:
    """Swap can bring weights onto a disk, unless it is encrypted or lies in memory."""
    lines = (_read(swaps) or "").splitlines()[1:]
    devices = [line.split()[0] for line in lines if line.strip()]
    if not devices:
        return Check("swap", "ok", "no swap")
    open_ones = [device for device in devices if not _swap_is_closed(device, blocks)]
    if not open_ones:
        return Check("swap", "ok", f"encrypted or in memory: {', '.join(devices)}")
    action = "Turn it off (swapoff -a), or encrypt it with dm-crypt and a random key."
    return Check("swap", "warn", f"not encrypted: {', '.join(open_ones)}", action)


def _swap_is_closed(device: str, blocks: Path) -> bool:
    name = Path(os.path.realpath(device)).name
    return name.startswith("zram") or (_read(blocks / name / "dm/uuid") or "").startswith("CRYPT-")


def check_huge_pages(path: Path) -> Check:
    """Opening is some four times as fast with them."""
    found = re.search(r"\[(\w+)\]", _read(path) or "")
    setting = found[1] if found else "unknown"
    if setting in ("always", "madvise"):
        return Check("huge pages", "ok", f"transparent huge pages: {setting}")
    action = f"echo madvise > {path}: models open faster."
    return Check("huge pages", "warn", f"transparent huge pages: {setting}", action)


def check_storage(home: Path, mountinfo: Path) -> Check:
    """What must be remembered must not lie in memory, and needs some room."""
    kind = _filesystem(home, mountinfo)
    free = shutil.disk_usage(home).free
    if kind in ("tmpfs", "ramfs"):
        found = f"the home is on {kind}: keys, releases seen and the meter are lost at a restart"
        return Check("storage", "warn", found, "Put the home on a disk.")
    if free < _LEAST_FREE:
        return Check("storage", "warn", f"{free // 2**20} MiB free on {kind}", "Make room.")
    return Check("storage", "ok", f"{kind}, {free // 2**30} GiB free")


def _filesystem(path: Path, mountinfo: Path) -> str:
    """The type of the file system that ``path`` lies on."""
    best, kind = -1, "unknown file system"
    real = str(path.resolve())
    for line in (_read(mountinfo) or "").splitlines():
        mounted, _, source = line.partition(" - ")
        point = mounted.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), source.split()[0]
    return kind


def check_egress(home: Home) -> Iterator[Check]:
    """What the configured budgets mean, in plain words."""
    from strongroom.keeper.egress import Budget, days_to_carry_out, explain_budget

    budgets = home.settings.egress
    deployment, tenant = (
        Budget.of_bits(budget.bits_per_hour, budget.bits_per_day)
        for budget in (budgets.deployment, budgets.tenant)
    )
    words = explain_budget(_MODEL_SIZES["7 billion"], deployment, tenant)
    yield Check("egress", "ok", f"For a model of 7 billion parameters: {words}")
    for name, parameters in _MODEL_SIZES.items():
        days = days_to_carry_out(parameters, deployment)
        found = f"{days:,.1f} days at the deployment's budget"
        if days >= 30:
            yield Check(f"egress, {name}", "ok", found)
        else:
            action = "Lower [egress.deployment], or do not count on this wall for a small model."
            yield Check(f"egress, {name}", "warn", found, action)


def check_attacks(profile: Literal["no-exec", "jit"]) -> Iterator[Check]:
    """Every attack primitive in a child with walls and in one without, for real."""
    from strongroom.keeper.lockdown.selftest import run_selftest

    try:
        outcomes = run_selftest(profile)
    except StrongroomError as error:
        yield Check("attacks", "fail", error.message, error.action)
        return
    for outcome in outcomes:
        found = f"without walls: {outcome.unlocked}; with them: {outcome.locked}"
        if not outcome.refused:
            yield Check(f"attack {outcome.name}", "fail", found, "Do not serve on this kernel.")
        elif not outcome.control:
            action = "Nothing to do: it cannot be tried here, so its refusal proves little."
            yield Check(f"attack {outcome.name}", "warn", found, action)
    refused = sum(outcome.refused for outcome in outcomes)
    state: State = "ok" if outcomes and refused == len(outcomes) else "fail"
    action = "" if state == "ok" else "Do not serve on this kernel."
    yield Check("attacks", state, f"{refused} of {len(outcomes)} refused by the walls", action)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
