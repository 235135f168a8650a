"""The console's reader over a real home: identity store, log folders, and gateways' ``/status``."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.console.folding import Explain, Fold
from strongroom.console.following import Follower
from strongroom.console.reading import Egress, Gateway, Organisation, Snapshot, Switch
from strongroom.errors import StrongroomError
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.opening import log_names
from strongroom.store.interface import IdentityStore
from strongroom.store.interface import Switch as StoredSwitch

RECHECK_SECONDS: Final = 600.0
MOST_ORGANISATIONS: Final = 200
_STATUS_SECONDS: Final = 2.0
_STATUS_BYTES: Final = 2**20

_Number = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


class _Model(msgspec.Struct, frozen=True):
    name: str
    model_id: str
    release: int
    digest: str
    kind: str
    rungs: dict[str, str]
    walls: dict[str, str]
    effective_bits: _Number


class _Load(msgspec.Struct, frozen=True):
    active: _Count
    waiting: _Count
    bits_hour: _Number
    bits_day: _Number
    budget_hour: _Number
    budget_day: _Number


class _Status(msgspec.Struct, frozen=True):
    """What ``telemetry.operator_app.status`` says, as far as it is shown."""

    since: _Number
    keeper_up: bool
    in_flight: int
    model: _Model | None
    load: _Load | None


class HomeReader:
    """See ``reading.Reader``.

    Args:
        store: organisations, keys and switches.
        state: the home's folder ``state``, where its logs lie.
        key: verifier key of the home's logs.
        gateways: addresses of the gateways' operator listeners, ``host:port``.
        explain: a signal in one sentence.
    """

    def __init__(
        self,
        store: IdentityStore,
        state: Path,
        key: VerifierKey,
        gateways: Sequence[str],
        explain: Explain,
    ) -> None:
        self._store = store
        self._state = state
        self._key = key
        self._gateways = tuple(gateways)
        self._fold = Fold(explain)
        self._followers: dict[str, Follower] = {}

    def snapshot(self) -> Snapshot:
        """See ``reading.Reader``."""
        self._follow()
        taken = datetime.now(UTC)
        now = int(taken.timestamp() * 1000)
        problems: tuple[str, ...] = ()
        switches: Mapping[tuple[str, str], Switch] = {}
        organisations: tuple[Organisation, ...] = ()
        try:
            switches = self._switches()
            organisations = self._organisations(switches, now)
        except StrongroomError as error:
            problems = (error.message,)
        if len(organisations) > MOST_ORGANISATIONS:
            more = len(organisations) - MOST_ORGANISATIONS
            problems += (f"{more:,} organisations with less use are not shown.",)
        return Snapshot(
            taken,
            self._ask_gateways(switches),
            organisations[:MOST_ORGANISATIONS],
            self._fold.refusals(now),
            self._fold.signals(now),
            tuple(follower.log() for _, follower in sorted(self._followers.items())),
            self._fold.acts(),
            problems,
        )

    def recheck_for_ever(self) -> threading.Thread:
        """Start a thread that verifies every log as a whole, again and again."""

        def work() -> None:
            while True:
                time.sleep(RECHECK_SECONDS)
                for follower in list(self._followers.values()):
                    follower.recheck()

        thread = threading.Thread(target=work, name="recheck", daemon=True)
        thread.start()
        return thread

    def _follow(self) -> None:
        for name in log_names(self._state):
            if name not in self._followers:
                self._followers[name] = Follower(self._state, name, self._key)
        for follower in self._followers.values():
            follower.catch_up(self._fold.add)

    def _switches(self) -> dict[tuple[str, str], Switch]:
        return {(each.kind, each.name): self._switch(each) for each in self._store.switches()}

    def _switch(self, stored: StoredSwitch) -> Switch:
        kind = "organisation" if stored.kind == "tenant" else stored.kind
        by = self._fold.switched_by.get((kind, stored.name), "")
        return Switch(stored.off_since, stored.reason, by)

    def _organisations(
        self, switches: Mapping[tuple[str, str], Switch], now: int
    ) -> tuple[Organisation, ...]:
        """All of them: those switched off first, then by how full their fullest limit is."""
        moment = datetime.fromtimestamp(now / 1000, UTC)
        keys: dict[str, int] = {}
        every = self._store.keys()
        for key in every:
            keys[key.organisation] = keys.get(key.organisation, 0) + key.usable(moment)
        found = []
        for stored in self._store.organisations():
            tally = self._fold.tally(stored.name)
            found.append(
                Organisation(
                    stored.name,
                    keys.get(stored.name, 0),
                    tuple(tally.uses(stored.limits, now)),
                    tally.day("requests", now),
                    self._fold.refused_day(stored.name, now),
                    tally.day("output_tokens", now),
                    tally.day("egress_millibits", now) / 1000,
                    tally.signals.sum(now),
                    switches.get(("tenant", stored.name)),
                )
            )
        return tuple(sorted(found, key=_interest))

    def _ask_gateways(self, switches: Mapping[tuple[str, str], Switch]) -> tuple[Gateway, ...]:
        if not self._gateways:
            return ()
        with ThreadPoolExecutor(len(self._gateways)) as pool:
            return tuple(pool.map(lambda address: ask(address, switches), self._gateways))


def _interest(each: Organisation) -> tuple[bool, float, int, str]:
    fullest = each.fullest
    share = fullest.share if fullest is not None else None
    return each.off is None, -(share or 0.0), -each.requests_day, each.name


def ask(address: str, switches: Mapping[tuple[str, str], Switch]) -> Gateway:
    """What the gateway at ``host:port`` says of itself, or why it says nothing."""
    host, _, port = address.rpartition(":")
    try:
        connection = http.client.HTTPConnection(
            host.strip("[]"), int(port), timeout=_STATUS_SECONDS
        )
        try:
            connection.request("GET", "/status", headers={"Host": address})
            answer = connection.getresponse()
            content = answer.read(_STATUS_BYTES)
        finally:
            connection.close()
        if answer.status != 200:
            return Gateway(address, f"It answers with status {answer.status}.")
        status = msgspec.json.decode(content, type=_Status)
    except OSError as error:
        return Gateway(address, f"{error.strerror or 'It does not answer in time'}.")
    except (http.client.HTTPException, msgspec.DecodeError, ValueError):
        return Gateway(address, "What answers there is no gateway of this version.")
    model, load = status.model, status.load
    gateway = Gateway(
        address,
        keeper_up=status.keeper_up,
        in_flight=status.in_flight,
        since=datetime.fromtimestamp(status.since, UTC),
    )
    if model is None:
        return gateway
    gateway = msgspec.structs.replace(
        gateway,
        model=model.name,
        model_id=model.model_id,
        release=model.release,
        digest=model.digest,
        kind=model.kind,
        rungs=model.rungs,
        walls=model.walls,
        off=switches.get(("model", model.name)),
    )
    if load is None:
        return gateway
    egress = Egress(
        load.bits_hour, load.bits_day, load.budget_hour, load.budget_day, model.effective_bits
    )
    return msgspec.structs.replace(gateway, active=load.active, waiting=load.waiting, egress=egress)
