"""A made-up deployment to show, with hostile names in it, and a console over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from strongroom.console.app import Console, Parts
from strongroom.console.operators import Operators
from strongroom.console.reading import (
    Act,
    Egress,
    Gateway,
    Log,
    Organisation,
    Refusals,
    Signal,
    Snapshot,
    Switch,
    Use,
)
from strongroom.errors import ConfigurationRefused

NOW = datetime(2026, 11, 23, 4, 10, 9, tzinfo=UTC)
PEPPER = bytes(range(32))
EVIL = "<script>document.title='owned'</script>"
EVIL_ATTRIBUTE = "\" onmouseover=\"document.title='owned'\" x='"
OFF = Switch(NOW - timedelta(minutes=7), f"extraction suspected {EVIL}", "ada")


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


GATEWAYS = (
    Gateway(
        address="127.0.0.1:9090",
        model="smollm2-135m",
        model_id="acme/smollm2-135m",
        release=3,
        digest="9f2b" * 16,
        kind="causal-lm",
        rungs={"*": "text", "Acme Research": "topk"},
        walls={"seccomp": "on", "landlock": "on", "mdwe": "on", "no-core": "on", "mlock": "limit"},
        keeper_up=True,
        active=3,
        waiting=1,
        in_flight=5,
        since=ago(hours=29),
        egress=Egress(412_000, 6_300_000, 4e6, 20e6, 54e6),
    ),
    Gateway(
        address="127.0.0.1:9091",
        model="fraud-classifier",
        model_id="acme/fraud",
        release=12,
        digest="01cd" * 16,
        kind="classifier",
        rungs={"*": "label"},
        walls={"seccomp": "on", "landlock": "on"},
        keeper_up=True,
        since=ago(minutes=42),
        egress=Egress(800, 12_000, 4e6, 20e6, 1.2e9),
        off=OFF,
    ),
    Gateway(address="10.0.0.7:9090", problem="Connection refused."),
)
ORGANISATIONS = (
    Organisation(
        "Acme Research",
        12,
        (
            Use("requests", "minute", 41, 60),
            Use("output tokens", "day", 961_224, 1_000_000),
            Use("egress", "day", 4_210_000, 5_000_000),
        ),
        18_211,
        37,
        961_224,
        4_210_000,
        0,
    ),
    Organisation(
        "Globex", 2400, (Use("requests", "day", 24_000, 24_000),), 24_000, 9120, 1_204_112, 2e6, 3
    ),
    Organisation("Initech", 1, (), 12, 0, 2040, 31_000, 0, OFF),
    Organisation(EVIL, 1, (Use("requests", "day", 1, 10),), 1, 1, 0, 0.0, 0),
    Organisation(EVIL_ATTRIBUTE, 1),
)
SNAPSHOT = Snapshot(
    NOW,
    GATEWAYS,
    ORGANISATIONS,
    (
        Refusals("limits.requests_per_day", 1022, 9120, ago(seconds=3), (("Globex", 9120),)),
        Refusals(
            "gateway.denied_parameter", 18, 204, ago(minutes=4),
            (("Globex", 160), ("Acme Research", 30), (EVIL, 10), ("Initech", 3), ("x", 1)),
        ),
        Refusals("gateway.invalid_api_key", 2, 71, ago(minutes=31), (("", 71),)),
        Refusals("keeper.egress_exhausted", 0, 7, ago(hours=9), (("Acme Research", 7),)),
    ),
    (
        Signal(
            ago(minutes=11), "template-cluster", "Globex", 0.97,
            "2,381 of 2,400 keys sent prompts that share one template: the same 212 characters, "
            "then one word from a list.", "Recorded; the policy does not throttle for it.",
        ),
        Signal(ago(hours=5), "coverage-sweep", "", None, f"Prompts sweep {EVIL}.", "Recorded."),
    ),
    (
        Log("gateway", "verified", "All 42,331 entries hold under the signed checkpoint.", 42_331,
            "q83vEjRWeJC6mHZUMhD+3LqYdlQyEP7cuph2VDIQ/tw=", ago(seconds=20), ago(seconds=2)),
        Log("release", "verified", "All 12 entries hold under the signed checkpoint.", 12,
            "EjRWeJC6mHZUMhD+3LqYdlQyEP7cuph2VDIQ/tyrze8=", ago(seconds=20), ago(hours=29)),
        Log("operator", "damaged", "Entry 17 was altered: its hash is not the one in the tree.", 40,
            "VDIQ/tyrze8SNFZ4kLqYdlQyEP7cuph2VDIQ/tyrze8=", ago(seconds=20), ago(hours=1)),
    ),
    (
        Act(ago(minutes=7), "switch.off", f"tenant Initech: extraction suspected {EVIL}", "ada"),
        Act(ago(hours=28), "limits.set", "Globex: 24,000 requests a day"),
    ),
)  # fmt: skip


@dataclass
class FakeReader:
    shown: Snapshot = SNAPSHOT
    taken: int = 0

    def snapshot(self) -> Snapshot:
        self.taken += 1
        return self.shown


@dataclass
class FakeSwitchboard:
    done: list[tuple[str, str, bool, str, str]] = field(default_factory=list)

    def switch(
        self, kind: Literal["model", "tenant"], name: str, on: bool, reason: str, by: str
    ) -> None:
        if name == "nobody":
            raise ConfigurationRefused("store.no_tenant", f"No {EVIL} here.", action="None.")
        self.done.append((kind, name, on, reason, by))


@dataclass
class World:
    operators: Operators
    key: str
    operator_id: str
    reader: FakeReader
    switchboard: FakeSwitchboard
    parts: Parts
    console: Console


def make_world(folder: Path) -> World:
    operators = Operators(folder / "operators.json", PEPPER)
    operator, key = operators.create("ada", NOW)
    reader, switchboard = FakeReader(), FakeSwitchboard()
    parts = Parts(operators, reader, switchboard)
    return World(operators, key, operator.id, reader, switchboard, parts, Console(parts))
