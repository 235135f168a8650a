"""A service, a workload and the clocks between them, for the tests to turn and to attack."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.local import LocalEvidence, Peer
from strongroom.errors import StrongroomError
from strongroom.keys.hpke import HpkeIdentity
from strongroom.release import messages
from strongroom.release.evidence import LocalAttester
from strongroom.release.judging import CountApprovals
from strongroom.release.messages import Release, Runtime, Signed
from strongroom.release.policies.document import Document
from strongroom.release.policies.embedded import embedded
from strongroom.release.protocol import Clock, ReleaseService, Session
from strongroom.release.record import Decision
from strongroom.release.requester import Grant, Requester
from strongroom.release.service_key import ServiceKey

CONTEXT = b"one sealed model"
MODEL, RELEASE = "acme/llama", 3
MANIFEST = "ab" * 32
CONFIGURATION = "cd" * 32


@dataclass
class Desk:
    """One service with one key that it can unwrap, and what it recorded."""

    service_key: ServiceKey
    identity: HpkeIdentity
    policy: Document = field(default_factory=embedded)
    now: float = 1_000_000.0
    records: list[Decision] = field(default_factory=list)
    approvals: CountApprovals | None = None

    def __post_init__(self) -> None:
        self.key = DataKey.generate()
        self.secret = bytes(self.key.reveal(TOKEN))
        self.recipient = self.identity.wrap(self.key, CONTEXT)
        self.service = ReleaseService(
            service_key=self.service_key,
            unlockers=[self.identity],
            policy=self.policy,
            record=self.records.append,
            clock=Clock(lambda: self.now, lambda: self.now),
            approvals=self.approvals,
        )

    @property
    def peer(self) -> Peer:
        return Peer(os.getpid(), os.geteuid())

    def requester(self, **changes: Any) -> Requester:
        arguments: dict[str, Any] = {
            "recipients": [self.recipient],
            "context": CONTEXT,
            "model": MODEL,
            "release": RELEASE,
            "manifest_digest": MANIFEST,
            "attester": LocalAttester(CONFIGURATION),
            "service_key": self.service_key.public,
        }
        return Requester(**{**arguments, **changes})

    def send(self, session: Session, payload: bytes, peer: Peer | None = None) -> bytes:
        return self.service.answer(session, payload, peer or self.peer)

    def prepared(
        self, session: Session, requester: Requester | None = None
    ) -> tuple[Requester, bytes]:
        """A requester and its request, not yet sent."""
        requester = requester or self.requester()
        return requester, requester.request(self.send(session, requester.ask()))

    def obtain(self, requester: Requester | None = None) -> Grant:
        session = self.service.open_session()
        requester, request = self.prepared(session, requester)
        return requester.accept(self.send(session, request))


def make_desk(folder: Path, **changes: Any) -> Desk:
    """A desk with a service key of its own in ``folder``."""
    key = ServiceKey.create(folder / f"service-{os.urandom(4).hex()}")
    return Desk(key, HpkeIdentity.generate(), **changes)


def body(answer: bytes) -> messages.ToWorkload:
    """What stands in a signed answer, its signature unchecked."""
    signed = msgspec.json.decode(answer, type=Signed)
    return msgspec.json.decode(signed.body, type=messages.ToWorkload)


def refusal(answer: bytes) -> str:
    """The code in a ``Refused``; a test fails if it is anything else."""
    message = body(answer)
    assert isinstance(message, messages.Refused), type(message)
    return message.code


def code_of(action: Callable[[], object]) -> str:
    """The code with which ``action`` is refused; a test fails if it is not."""
    with pytest.raises(StrongroomError) as refused:
        action()
    return refused.value.code


def edited(
    request: bytes,
    *,
    runtime: Callable[[Runtime], Runtime] | None = None,
    evidence: Callable[[LocalEvidence], LocalEvidence] | None = None,
    recipients: tuple[Recipient, ...] | None = None,
) -> bytes:
    """A request with its parts replaced, each still well formed."""
    release = msgspec.json.decode(request, type=Release)
    if runtime is not None:
        changed = runtime(msgspec.json.decode(release.runtime, type=Runtime))
        release = msgspec.structs.replace(release, runtime=msgspec.json.encode(changed))
    if evidence is not None:
        stated = evidence(msgspec.json.decode(release.evidence, type=LocalEvidence))
        release = msgspec.structs.replace(release, evidence=msgspec.json.encode(stated))
    if recipients is not None:
        release = msgspec.structs.replace(release, recipients=recipients)
    return msgspec.json.encode(release)
