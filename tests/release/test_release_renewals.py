"""Leases: granted by the policy's terms, renewed by fresh evidence, refused when something changed.

The service is the real one on a clock that the tests turn; the workload's side is the keeper's own
``Renewer``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from release_desk import CONFIGURATION, MANIFEST, MODEL, RELEASE, Desk, body, code_of, make_desk

from strongroom.errors import ConfigurationRefused, EnvironmentLacks, KeyRefused
from strongroom.release import messages
from strongroom.release.evidence import LocalAttester, running_measurement
from strongroom.release.leases import lease
from strongroom.release.messages import Ask, Lease, Release, Renew, Runtime
from strongroom.release.policies.document import Allowed, Document, Image, Leasing, load, template
from strongroom.release.policies.embedded import embedded
from strongroom.release.protocol import MAX_CHALLENGES, Clock, ReleaseService, Session
from strongroom.release.renewal import Answered, Renewer
from strongroom.release.requester import Grant
from strongroom.store.lineage import Named

HOUR = 3600
TERMS = Leasing(seconds=8 * HOUR, grace=HOUR)


class Keeper:
    """A workload that holds a key, and the session in which it got it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.session: Session = desk.service.open_session()
        requester, request = desk.prepared(self.session)
        self.grant: Grant = requester.accept(desk.send(self.session, request))
        self.renewer: Renewer = self.grant.renewer

    def prepared(self) -> bytes:
        """A renewal, not yet sent."""
        challenge = self.desk.send(self.session, self.renewer.ask())
        return self.renewer.take(challenge).send

    def renew(self) -> Answered:
        return self.renewer.take(self.desk.send(self.session, self.prepared()))

    def refusal(self) -> str:
        """The code for which the lease is over."""
        refusal = self.renew().refusal
        assert refusal is not None
        return refusal.code


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path, policy=embedded(lease=TERMS))


@pytest.fixture
def keeper(desk: Desk) -> Keeper:
    return Keeper(desk)


def test_a_lease_has_the_policy_s_terms_and_is_renewed_without_a_key(keeper: Keeper) -> None:
    now = int(keeper.desk.now)
    assert keeper.grant.lease == Lease(now, now + 8 * HOUR, now + 7 * HOUR)
    keeper.desk.now += 7 * HOUR
    answer = keeper.desk.send(keeper.session, keeper.prepared())
    renewed = keeper.renewer.take(answer).lease
    assert renewed == Lease(now + 7 * HOUR, now + 15 * HOUR, now + 14 * HOUR)
    told = body(answer)
    assert isinstance(told, messages.Renewed)
    assert "sealed" not in told.__struct_fields__
    record = keeper.desk.records[-1]
    assert (record.outcome, record.renews) == ("renewed", keeper.grant.decision)
    assert (record.lease, record.key_id) == (renewed, "")
    assert (record.model, record.release) == (MODEL, RELEASE)


def test_a_renewal_needs_no_key_and_a_service_for_one_forgets_it(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    closed: list[bool] = []
    desk.identity.close = lambda: closed.append(True)  # type: ignore[method-assign]
    desk.service = service(desk, once=True)
    keeper = Keeper(desk)
    assert closed == [True]
    assert keeper.renew().lease is not None
    assert code_of(lambda: desk.obtain()) == "release.no_recipient"


def service(desk: Desk, **more: Any) -> ReleaseService:
    given: dict[str, Any] = {"policy": desk.policy, "record": desk.records.append, **more}
    return ReleaseService(
        service_key=desk.service_key,
        unlockers=[desk.identity],
        clock=Clock(lambda: desk.now, lambda: desk.now),
        **given,
    )


def replaced(desk: Desk, keeper: Keeper, **more: Any) -> None:
    """The service was started anew, with something changed; the keeper connects again."""
    desk.service = service(desk, **more)
    keeper.session = desk.service.open_session()


def allowing(code: str = "", **allow: Any) -> Document:
    image = Image("keeper", "local", {"code": code or running_measurement()})
    return Document("dev", template("dev"), Allowed(**allow), (image,), {})


def revoked(asked: Named) -> None:
    raise KeyRefused("release.revoked", f"{asked.model} is revoked.", action="Ask its owner.")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"policy": allowing("00" * 32)}, "release.denied"),
        ({"policy": allowing(manifests=("00" * 32,))}, "release.denied"),
        ({"policy": allowing(approvals=1)}, "release.denied"),
        ({"standing": revoked}, "release.revoked"),
        ({"manifest": "00" * 32}, "release.other_model"),
    ],
)
def test_what_has_changed_ends_the_lease(
    desk: Desk, keeper: Keeper, changes: dict[str, Any], code: str
) -> None:
    replaced(desk, keeper)
    assert keeper.renew().lease is not None  # positive control: a restart alone ends nothing
    replaced(desk, keeper, **changes)
    assert keeper.refusal() == code
    assert desk.records[-1].reason == code
    assert desk.records[-1].lease is None


def _cannot(*_: object) -> None:
    raise EnvironmentLacks("store.unavailable", "The store is gone.", action="Repair it.")


def _cannot_record(_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"standing": _cannot}, "store.unavailable"),
        ({"record": _cannot_record}, "release.record_failed"),
    ],
)
def test_a_service_that_cannot_judge_renews_nothing_and_ends_nothing(
    desk: Desk, keeper: Keeper, changes: dict[str, Any], code: str
) -> None:
    replaced(desk, keeper, **changes)
    assert code_of(keeper.renew) == code
    replaced(desk, keeper)
    assert keeper.renew().lease is not None


def test_a_spent_challenge_ends_nothing(desk: Desk, keeper: Keeper) -> None:
    request = keeper.prepared()
    desk.now += 61
    assert code_of(lambda: keeper.renewer.take(desk.send(keeper.session, request))) == (
        "release.nonce_expired"
    )
    assert keeper.renew().lease is not None


def test_a_long_life_has_challenges_enough(keeper: Keeper) -> None:
    for _ in range(MAX_CHALLENGES + 2):
        assert keeper.renew().lease is not None
    for _ in range(MAX_CHALLENGES):
        keeper.renewer.take(keeper.desk.send(keeper.session, keeper.renewer.ask()))
    assert code_of(keeper.prepared) == "release.too_many_challenges"


# --- attacks -----------------------------------------------------------------------------------


def changed(request: bytes, **fields: Any) -> bytes:
    return msgspec.json.encode(
        msgspec.structs.replace(msgspec.json.decode(request, type=Renew), **fields)
    )


def test_evidence_for_a_renewal_gets_no_key(desk: Desk, keeper: Keeper) -> None:
    sent = msgspec.json.decode(keeper.prepared(), type=Renew)
    turned = msgspec.json.encode(Release(sent.runtime, sent.evidence, (desk.recipient,)))
    assert body(desk.send(keeper.session, turned)).code == "release.other_purpose"


def test_evidence_for_a_key_renews_nothing(desk: Desk, keeper: Keeper) -> None:
    _, request = desk.prepared(keeper.session)
    sent = msgspec.json.decode(request, type=Release)
    turned = msgspec.json.encode(Renew(sent.runtime, sent.evidence))
    assert body(desk.send(keeper.session, turned)).code == "release.other_purpose"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("renews", "another", "release.evidence_unbound"),
        ("manifest_digest", "00" * 32, "release.evidence_unbound"),
        ("audience", "0" * 32, "release.other_audience"),
        ("session", bytes(16), "release.other_session"),
    ],
)
def test_a_renewal_changed_under_its_evidence(
    desk: Desk, keeper: Keeper, field: str, value: object, code: str
) -> None:
    request = keeper.prepared()
    sent = msgspec.json.decode(request, type=Renew)
    runtime = msgspec.json.decode(sent.runtime, type=Runtime)
    runtime = msgspec.structs.replace(runtime, **{field: value})
    altered = changed(request, runtime=msgspec.json.encode(runtime))
    assert body(desk.send(keeper.session, altered)).code == code


def test_a_replayed_renewal(desk: Desk, keeper: Keeper) -> None:
    request = keeper.prepared()
    assert isinstance(body(desk.send(keeper.session, request)), messages.Renewed)
    assert body(desk.send(keeper.session, request)).code == "release.nonce_unknown"


def test_an_old_answer_does_not_renew_and_an_old_refusal_does_not_end(
    desk: Desk, keeper: Keeper
) -> None:
    old = desk.send(keeper.session, keeper.prepared())
    keeper.renewer.take(old)
    keeper.prepared()
    assert code_of(lambda: keeper.renewer.take(old)) == "release.answer_mismatch"
    other = Keeper(desk)
    replaced(desk, other, standing=revoked)
    refusal = desk.send(other.session, other.prepared())
    replaced(desk, keeper)
    keeper.prepared()
    assert code_of(lambda: keeper.renewer.take(refusal)) == "release.revoked"  # raised: try again
    assert keeper.renew().lease is not None


def test_another_service_neither_renews_nor_ends(
    desk: Desk, keeper: Keeper, tmp_path: Path
) -> None:
    rogue = make_desk(tmp_path)
    challenge = rogue.send(rogue.service.open_session(), msgspec.json.encode(Ask()))
    keeper.renewer.ask()
    assert code_of(lambda: keeper.renewer.take(challenge)) == "release.bad_signature"
    request = keeper.prepared()
    honest = msgspec.json.decode(desk.send(keeper.session, request), type=messages.Signed)
    resigned = rogue.service_key.sign(honest.body)
    assert code_of(lambda: keeper.renewer.take(resigned)) == "release.bad_signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: {"renews": "another"},
        lambda answer: {"nonce": bytes(32)},
        lambda answer: {"manifest_digest": "00" * 32},
        lambda answer: {"evidence_digest": "00" * 32},
    ],
)
def test_an_answer_to_something_else(
    desk: Desk, keeper: Keeper, change: Callable[[object], dict[str, object]]
) -> None:
    answer = body(desk.send(keeper.session, keeper.prepared()))
    altered = msgspec.structs.replace(answer, **change(answer))
    signed = desk.service_key.sign(msgspec.json.encode(altered))
    assert code_of(lambda: keeper.renewer.take(signed)) == "release.answer_mismatch"


@pytest.mark.parametrize("terms", [(5, 5, 5), (5, 4, 4), (5, 9, 10), (5, 9, 4)])
def test_a_renewed_lease_that_makes_no_sense(
    desk: Desk, keeper: Keeper, terms: tuple[int, int, int]
) -> None:
    answer = body(desk.send(keeper.session, keeper.prepared()))
    altered = msgspec.structs.replace(answer, lease=Lease(*terms))
    signed = desk.service_key.sign(msgspec.json.encode(altered))
    assert code_of(lambda: keeper.renewer.take(signed)) == "release.lease_over"


# --- terms -------------------------------------------------------------------------------------


def test_what_approvals_cut_off_is_taken_from_both_parts() -> None:
    assert lease(TERMS, 100) == Lease(100, 100 + 8 * HOUR, 100 + 7 * HOUR)
    assert lease(TERMS, 100, until=100 + 9 * HOUR) == lease(TERMS, 100)
    assert lease(TERMS, 100, until=100 + 4 * HOUR) == Lease(
        100, 100 + 4 * HOUR, 100 + 4 * HOUR - HOUR // 2
    )
    assert lease(TERMS, 100, until=101) == Lease(100, 101, 101)


def test_a_policy_s_terms_are_read_and_are_part_of_its_digest(tmp_path: Path) -> None:
    plain, changed = tmp_path / "a.toml", tmp_path / "b.toml"
    plain.write_text('template = "dev"\n')
    changed.write_text('template = "dev"\n[lease]\nseconds = 600\ngrace = 60\n')
    assert load(changed).lease == Leasing(600, 60)
    assert load(plain).lease == Leasing(24 * HOUR, 6 * HOUR)
    assert load(plain).digest != load(changed).digest
    for wrong in ("seconds = 60\ngrace = 60", "seconds = 1", "grace = 0", "secnds = 60"):
        changed.write_text(f'template = "dev"\n[lease]\n{wrong}\n')
        with pytest.raises(ConfigurationRefused) as refused:
            load(changed)
        assert refused.value.code == "release.policy_form"


def test_a_keeper_of_another_configuration_is_another_workload(desk: Desk) -> None:
    """What renews is judged as whole as what asked for the key."""
    keeper = Keeper(desk)
    measured = {"code": running_measurement(), "configuration": CONFIGURATION}
    strict = Document("dev", template("dev"), Allowed(), (Image("k", "local", measured),), {})
    replaced(desk, keeper, policy=strict)
    assert keeper.renew().lease is not None
    keeper.renewer._asking = type(keeper.renewer._asking)(
        LocalAttester("ef" * 32), desk.service_key.public
    )
    assert keeper.refusal() == "release.denied"
    assert desk.records[-1].manifest_digest == MANIFEST
