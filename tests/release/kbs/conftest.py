"""A KBS with one model's key, and the roots of the simulated manufacturers pinned."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.bundle import Bundle
from strongroom.attest.nvidia import verify as nvidia_verify
from strongroom.attest.snp.products import ROOTS
from strongroom.errors import KeyRefused
from strongroom.keys.hpke import HpkeIdentity
from strongroom.release.approvals.documents import Subject
from strongroom.release.ear.token_key import TokenKey
from strongroom.release.kbs.evidence import Collateral
from strongroom.release.kbs.http import Answer, Asked, handle
from strongroom.release.kbs.resources import Resource, Resources
from strongroom.release.kbs.service import KbsService, Parts
from strongroom.release.policies.document import Allowed, Document, Image, template
from strongroom.release.record import Decision
from tests.attest.nvidia import world as nvidia
from tests.attest.simulated import amd

from .guest import Guest

MANIFEST = "ab" * 32
PATH = "models/llama/key"
CONTEXT = b"one sealed model"
IMAGE = Image("keeper", "snp", {"measurement": amd.Fields("Genoa").measurement.hex()})


def policy(name: str = "production-cpu", **allow: Any) -> Document:
    lists = Allowed(**{"products": ("Genoa", "Turin"), "gpu_products": ("GH100",), **allow})
    return Document(name, template(name), lists, (IMAGE,), {})


def collateral() -> Collateral:
    cases = [amd.good(product) for product in ("Genoa", "Turin")]
    bundles = [
        Bundle(kind="snp", evidence={}, certificates=case.certificates, crls=case.crls)
        for case in cases
    ]
    rims = {str(number): rim for number, rim in enumerate(nvidia.RIMS[:2])}
    return Collateral([*bundles, Bundle(kind="nvidia", evidence={}, collateral=rims)])


@dataclass
class Kbs:
    """The service, what it recorded, and a clock to turn."""

    service: KbsService
    parts: Parts
    secret: bytes
    records: list[Decision]
    clock: list[float] = field(default_factory=lambda: [float(amd.NOW)])
    approved: list[tuple[Subject, int]] = field(default_factory=list)

    def ask(self, method: str, name: str, body: Any = b"", **headers: Any) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return handle(self.service, Asked(method, "/kbs/v0/" + name, raw, **headers))

    def auth(self, guest: Guest) -> tuple[str, str]:
        """The cookie and the nonce."""
        answer = self.ask("POST", "auth", guest.request())
        assert answer.status == 200, answer.body
        return answer.set_cookie.partition(";")[0], json.loads(answer.body)["nonce"]

    def attest(self, cookie: str, body: Any) -> Answer:
        return self.ask("POST", "attest", body, cookies=(cookie,))

    def attested(self, guest: Guest) -> tuple[str, str]:
        """The cookie and the token."""
        cookie, nonce = self.auth(guest)
        answer = self.attest(cookie, guest.attestation(nonce))
        assert answer.status == 200, answer.body
        return cookie, json.loads(answer.body)["token"]

    def fetch(self, cookie: str, path: str = PATH) -> Answer:
        return self.ask("GET", f"resource/{path}", cookies=(cookie,))


def code(answer: Answer, status: int = 401) -> str:
    """The reason's code in an error; the status must be this one."""
    told = json.loads(answer.body)
    assert set(told) == {"type", "detail"}, told
    assert answer.status == status, told
    return str(told["type"].rpartition("/")[2])


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a KBS with parts changed."""
    for product, digest in amd.roots().items():
        monkeypatch.setitem(ROOTS, product, digest)
    monkeypatch.setattr(nvidia_verify, "Roots", lambda: nvidia.ROOTS)
    identity = HpkeIdentity.generate()
    key = DataKey.generate()
    recipient = identity.wrap(key, CONTEXT)
    records: list[Decision] = []

    def unlock(recipients: Any, context: bytes) -> tuple[Recipient, DataKey]:
        return recipients[0], identity.unwrap(recipients[0], context)

    def build(**changes: Any) -> Kbs:
        kbs: Kbs

        def approvals(subject: Subject, needed: int) -> None:
            kbs.approved.append((subject, needed))
            raise KeyRefused("release.approvals_missing", "Too few.", action="Ask.")

        parts = Parts(
            policy=policy(),
            resources=Resources({PATH: Resource("acme/llama", 3, MANIFEST, CONTEXT, (recipient,))}),
            collateral=collateral(),
            token_key=TokenKey.create(tmp_path / f"token-{len(list(tmp_path.iterdir()))}"),
            issuer="cd" * 16,
            unlock=unlock,
            record=records.append,
            approvals=approvals,
        )
        parts = replace(parts, **changes)
        clock = [float(amd.NOW)]
        service = KbsService(parts, wall=lambda: clock[0], monotonic=lambda: clock[0])
        kbs = Kbs(service, parts, bytes(key.reveal(TOKEN)), records, clock)
        return kbs

    return build


@pytest.fixture
def kbs(make: Any) -> Kbs:
    return make()
