"""A key-release service of its own: both wires over one judgement, until it is told to end.

1. Take the Unix socket, so that there is one service for it; open the record.
2. Load the keys that sign; open those that unwrap, the approvals and the lineage. One
   ``ReleaseService`` and one ``KbsService`` share policy, approvals, lineage, nonces, the keys that
   unwrap, and the record: what the one has used up, the other does not take.
3. Let in who connects, over HTTP too; say where.
4. Serve until SIGTERM or SIGINT. If a decision cannot be recorded because of the disk, end: it is
   for whoever runs the service to see why.
5. Finish what is under way; overwrite the keys.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from strongroom.attest.bundle import Bundle
from strongroom.errors import EnvironmentLacks
from strongroom.release.approvals.counting import counting
from strongroom.release.config import Grants, Lineage, Unlocker
from strongroom.release.ear.token_key import TokenKey
from strongroom.release.kbs.app import KbsApp
from strongroom.release.kbs.evidence import Collateral
from strongroom.release.kbs.resources import Resource, Resources
from strongroom.release.kbs.service import KbsService, Parts
from strongroom.release.lineage_store import watching
from strongroom.release.nonces import NonceRegistry
from strongroom.release.policies.document import Document
from strongroom.release.protocol import ReleaseService
from strongroom.release.record import Decision
from strongroom.release.service_key import ServiceKey
from strongroom.release.unix_listener import UnixListener
from strongroom.release.unlockers import open_unlocker
from strongroom.release.web_listener import Door, WebListener


@dataclass(frozen=True)
class Web:
    """Where the KBS wire listens; see ``WebListener``."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    protocol: type[asyncio.Protocol]


@dataclass(frozen=True)
class Judging:
    """Who decides, and by which keys.

    ``resources`` maps a path of the KBS wire to the model's key that it stands for;
    ``collateral`` is what the operator gathered for its verifiers.
    """

    service_key: Path
    token_key: Path
    unlockers: tuple[Unlocker, ...]
    policy: Document
    grants: Grants
    lineage: Lineage
    resources: Mapping[str, Resource]
    collateral: tuple[Bundle, ...] = ()


@dataclass(frozen=True)
class Listening:
    """What a service that listens says of itself: its address, and the keys to pin."""

    url: str
    service_key: ServiceKey
    token_key: TokenKey


def stand(
    judging: Judging,
    web: Web,
    path: Path,
    recording: AbstractContextManager[Callable[[Decision], None]],
    ready: Callable[[Listening], None],
) -> int:
    """Steps 1 to 5; returns the number of the signal that asked for the end.

    Args:
        judging: who decides.
        web: where the KBS wire listens.
        path: where the Unix socket of the native wire is made.
        recording: yields what makes a decision durable, or raises.
        ready: called once it listens.

    Raises:
        StrongroomError: a key, a store, an address or the record cannot be used.
    """
    with ExitStack() as stack:
        local = stack.enter_context(UnixListener(path))  # (1)
        recorder = _Recorder(stack.enter_context(recording))
        native, kbs, keys = _services(judging, recorder, stack)  # (2)
        stack.callback(local.close)  # before the record and the keys (5)
        door = Door(KbsApp(kbs), lambda: recorder.failure is None)
        listener = WebListener(door, web.host, web.port, tls=web.tls, protocol=web.protocol)
        stack.callback(listener.close)
        recorder.on_failure = listener.stop
        local.start(native)  # (3)
        number = listener.run(lambda: ready(Listening(listener.url, *keys)))  # (4)
        if recorder.failure is not None:
            raise recorder.failure
        return number


def _services(
    judging: Judging, record: Callable[[Decision], None], stack: ExitStack
) -> tuple[ReleaseService, KbsService, tuple[ServiceKey, TokenKey]]:
    service_key, token_key = ServiceKey.load(judging.service_key), TokenKey.load(judging.token_key)
    unlockers = []
    for configured in judging.unlockers:
        unlocker = open_unlocker(configured)
        stack.callback(unlocker.close)
        unlockers.append(unlocker)
    needed = judging.policy.allow.approvals
    approvals = stack.enter_context(counting(judging.grants)) if needed else None
    standing = stack.enter_context(watching(judging.lineage))
    nonces = NonceRegistry()
    native = ReleaseService(
        service_key=service_key,
        unlockers=unlockers,
        policy=judging.policy,
        record=record,
        approvals=approvals,
        standing=standing,
        nonces=nonces,
    )
    parts = Parts(
        policy=judging.policy,
        resources=Resources(judging.resources),
        collateral=Collateral(judging.collateral),
        token_key=token_key,
        issuer=service_key.key_id,
        unlock=native.unlock,
        record=record,
        approvals=approvals,
        standing=standing,
    )
    return native, KbsService(parts, nonces=nonces), (service_key, token_key)


class _Recorder:
    """Passes decisions on, and remembers that one could not be kept for want of a disk."""

    def __init__(self, record: Callable[[Decision], None]) -> None:
        self._record = record
        self.failure: EnvironmentLacks | None = None
        self.on_failure: Callable[[], None] = lambda: None

    def __call__(self, decision: Decision) -> None:
        try:
            self._record(decision)
        except EnvironmentLacks as error:
            self.failure = error
            self.on_failure()
            raise
