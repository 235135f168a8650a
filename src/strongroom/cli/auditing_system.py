"""The places from which an audit attacks the system around a model, with targets and judges.

- The holder of the sealed files: copies of them, opened by the owner's own reader.
- Customers of the served door: organisations of the drill, which the policy does not name.
- A gateway taken over: a keeper of its own, with a budget small enough to be spent in seconds.
- A machine that flips a bit of a served keeper's memory.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from strongroom.artifact.policy import EgressCeiling
from strongroom.boundary.charging import GRAINS_PER_BIT
from strongroom.cli.audit_channel import open_channel, taken_over
from strongroom.cli.audit_memory import ROUND, open_memory
from strongroom.cli.audit_opening import Opened
from strongroom.cli.audit_serving import ServedDoor, link_or_copy
from strongroom.cli.home import Home
from strongroom.errors import StrongroomError
from strongroom.exposure.attacks.system import sealed_edit
from strongroom.exposure.attacks.system.many_keys import ALLOWED
from strongroom.exposure.interface import Budget
from strongroom.exposure.judge.abuse import AbuseJudge, LimitJudge
from strongroom.exposure.judge.exfiltration import Allowance, ExfiltrationJudge
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.judge.memory_flip import MemoryFlipJudge
from strongroom.exposure.judge.tampering import TamperingJudge
from strongroom.exposure.judge.timing import TimingJudge
from strongroom.exposure.ladder import LADDER, SERVED, Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.system import Place, balanced
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.served_system import (
    Serving,
    open_activity_rounds,
    open_callers,
    open_prefix_rounds,
    processor_seconds,
)
from strongroom.keeper import egress

_ROUNDS = 200
"""Rounds of a timing attack for which a bit is drawn; an attack plays the first of them."""

_DRILL_TOKENS, _DRILL_ROWS = 240, 12_000
"""About as much of an answer as a drill's budget holds."""

_TENANT_SHARE = 0.4
"""Of the drill's budget, what one tenant may have: so that inventing tenants is worth it."""

_CONTEXT = 2048
_FILES_WHY = (
    "Weights that the owner itself sealed are sealed as they are: what was poisoned before is for "
    "the backdoor screen, bits flipped in memory are for memory-flip."
)
_LIMITS_WHY = (
    "These are the drill's own limits. Where operators set none, only the egress budget stops a "
    "key: here {most:,} {units} an hour."
)


def places(
    home: Home, model: Opened, door: ServedDoor | None, kind: str, stack: ExitStack, seed: int
) -> list[Place]:
    """All places of this model; ``stack`` ends what their targets start."""
    budget = deployment_budget(home, model)
    tenant = _tenant_budget(home, model, budget)
    found = [_files(model, kind, stack)]
    if door is None or not door.keys:
        return found
    public = {"context": _context(model, kind)}
    rung = _granted(model) or min(door.keys, key=LADDER.index)
    serving = partial(_serving, door, model, kind)
    each = _bits_a_unit(model, kind)
    why = _LIMITS_WHY.format(
        most=int(tenant.hour / GRAINS_PER_BIT / each),
        units="tokens" if kind == "causal-lm" else "rows",
    )
    costs: dict[str, Callable[[], Judge]] = {
        "sponge": partial(AbuseJudge, "compute seconds", "processor seconds", seed=seed),
        "many-keys": partial(LimitJudge, ALLOWED, "no limit", why=why),
    }
    found.append(
        Place(kind, rung, lambda spend: open_callers(serving(), spend), costs, public=public)
    )
    found += _clocks(kind, rung, serving, public, seed)
    found.append(_channel(door, model, kind, rung, budget, stack))
    found.append(_memory(home, door, model, kind, rung, stack, seed))
    return found


def deployment_budget(home: Home, model: Opened) -> egress.Budget:
    """What all answers together may carry: the stricter of settings and seal."""
    return _least(home.settings.egress.deployment, model.deployment)


def _tenant_budget(home: Home, model: Opened, deployment: egress.Budget) -> egress.Budget:
    return deployment.least(_least(home.settings.egress.tenant, model.tenant))


def _least(configured: Any, sealed: EgressCeiling | None) -> egress.Budget:
    budget = egress.Budget.of_bits(configured.bits_per_hour, configured.bits_per_day)
    if sealed is None:
        return budget
    return budget.least(egress.Budget.of_bits(sealed.bits_per_hour, sealed.bits_per_day))


def _files(model: Opened, kind: str, stack: ExitStack) -> Place:
    judge = partial(TamperingJudge, sealed_edit.altered(), sealed_edit.named(), why=_FILES_WHY)
    opener = partial(_open_files, model, stack)
    return Place(kind, Rung.CLOSED, opener, {"sealed-edit": judge}, served=False)


def _open_files(model: Opened, stack: ExitStack, budget: Budget) -> Any:
    """``SealedFiles``: copies by link, so that a large model costs nothing until it is edited."""
    work = Path(tempfile.mkdtemp(prefix="strongroom-edits-"))
    stack.callback(shutil.rmtree, work, ignore_errors=True)
    meter = Meter(budget.queries)

    def fresh() -> Path:
        shutil.rmtree(work / "copy", ignore_errors=True)
        return shutil.copytree(model.folder, work / "copy", copy_function=link_or_copy)

    def opens(folder: Path) -> str:
        meter.charge(1)
        try:
            model.reopen(folder)
        except StrongroomError as error:
            meter.refused(error.code)
            return error.code
        meter.answered()
        return ""

    return close({"fresh": fresh, "opens": opens, "spent": meter.spent})


def _memory(
    home: Home,
    door: ServedDoor,
    model: Opened,
    kind: str,
    rung: Rung,
    stack: ExitStack,
    seed: int,
) -> Place:
    judge = partial(MemoryFlipJudge, ROUND, home.settings.serving.patrol_seconds)
    opener = partial(open_memory, home, door, model.tensors, stack, seed)
    return Place(kind, rung, opener, {"memory-flip": judge})


def _granted(model: Opened) -> Rung | None:
    """What callers get whom the policy does not name, if it is served."""
    granted = model.rungs.get("*", "closed")
    return Rung(granted) if granted in set(SERVED) else None


def _serving(door: ServedDoor, model: Opened, kind: str) -> Serving:
    if _granted(model) is None:
        what = "a sealed policy that serves organisations which it does not name"
        raise refuse("exposure.knowledge_lacking", what=what)
    door.use()
    classifier = kind == "classifier"
    low, high = model.config["input_range"] if classifier else (0.0, 1.0)
    return Serving(
        door.url,
        door.model,
        door.drills,
        lambda: processor_seconds(door.pid),
        chat=_has_template(model),
        row=tuple(model.config["input_shape"]) if classifier else (),
        bounds=(float(low), float(high)),
        context=_context(model, kind),
    )


def _clocks(
    kind: str, rung: Rung, serving: Callable[[], Serving], public: dict[str, Any], seed: int
) -> list[Place]:
    """Prefixes, for who has such, and activity."""
    bits = balanced(_ROUNDS, seed + 31)
    found = []
    if kind == "causal-lm":
        prefix = partial(TimingJudge, bits, "whether another asked the same", seed=seed)
        found.append(
            Place(
                kind,
                rung,
                lambda spend: open_prefix_rounds(serving(), bits, seed, spend),
                {"prefix-timing": prefix},
                public=public,
            )
        )
    activity = partial(TimingJudge, bits, "whether another is being served", seed=seed)
    found.append(
        Place(
            kind,
            rung,
            lambda spend: open_activity_rounds(serving(), bits, spend),
            {"activity-timing": activity},
            public=public,
        )
    )
    return found


def _channel(
    door: ServedDoor,
    model: Opened,
    kind: str,
    rung: Rung,
    budget: egress.Budget,
    stack: ExitStack,
) -> Place:
    units = _DRILL_TOKENS if kind == "causal-lm" else _DRILL_ROWS
    allowed = min(int(units * _bits_a_unit(model, kind)), budget.hour // GRAINS_PER_BIT)
    one = min(int(allowed * _TENANT_SHARE), allowed)

    def start(spend: Budget) -> Any:
        if not allowed:
            raise refuse("exposure.knowledge_lacking", what="a budget: nothing may leave at all")
        began = partial(taken_over, door.home, door.sealed, (allowed, one))
        return open_channel(lambda: stack.enter_context(began()), spend)

    parameters = sum(values.numel() for values in model.tensors.values())
    allowance = Allowance(allowed, budget.bits_per_day, egress.effective_bits(parameters))
    judge = partial(ExfiltrationJudge, allowance)
    return Place(kind, rung, start, {"exfiltration": judge}, served=False)


def _bits_a_unit(model: Opened, kind: str) -> float:
    """Bits of a token, or of a row without scores."""
    if kind == "causal-lm":
        return math.log2(model.config["vocab_size"])
    return math.log2(max(2, len(model.config["labels"])))


def _context(model: Opened, kind: str) -> int:
    if kind == "classifier":
        return 0
    return min(int(model.config.get("max_position_embeddings", _CONTEXT)), _CONTEXT)


def _has_template(model: Opened) -> bool:
    if "chat_template.jinja" in model.files:
        return True
    try:
        return "chat_template" in json.loads(model.files["tokenizer_config.json"])
    except (KeyError, ValueError):
        return False
