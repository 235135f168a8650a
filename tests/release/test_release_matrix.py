"""Attacks by who attests honestly, and on what lies between: each refused by a code of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from release_desk import CONFIGURATION, MANIFEST, Desk, body, code_of, make_desk, refusal

from strongroom.errors import KeyRefused
from strongroom.keys import hpke_keys
from strongroom.keys.hpke import HpkeIdentity
from strongroom.release import binding, messages, nonces
from strongroom.release.evidence import LocalAttester, running_measurement
from strongroom.release.messages import Challenge, Release, Runtime
from strongroom.release.policies.document import Allowed, Document, Image
from strongroom.release.policies.engine import EVALUATION_FAILED

SMALL_ORDER = (bytes(32), (1).to_bytes(32, "little"))
"""Points under which every X25519 secret is zero."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


def honestly(request: bytes, **changes: object) -> bytes:
    """The request with other runtime data, and evidence that truly commits to those."""
    release = msgspec.json.decode(request, type=Release)
    runtime = msgspec.structs.replace(msgspec.json.decode(release.runtime, type=Runtime), **changes)
    encoded = msgspec.json.encode(runtime)
    evidence = LocalAttester(CONFIGURATION).attest(binding.report_data(runtime, encoded, b""))
    return msgspec.json.encode(msgspec.structs.replace(release, runtime=encoded, evidence=evidence))


def reshaped(request: bytes, **changes: object) -> bytes:
    return msgspec.json.encode(
        msgspec.structs.replace(msgspec.json.decode(request, type=Release), **changes)
    )


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_key_that_everybody_could_open(desk: Desk, point: bytes) -> None:
    """The evidence is right and the public key makes half of the hybrid worthless."""
    good = HpkeIdentity.generate().recipient.public
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    weak = honestly(request, tee_public=good[: -len(point)] + point)
    assert refusal(desk.send(session, weak)) == "keys.bad_public_key"
    _, again = desk.prepared(session)
    control = body(desk.send(session, honestly(again, tee_public=good)))
    assert isinstance(control, messages.Released)


def test_a_key_that_is_no_lattice_point(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    spoiled = honestly(request, tee_public=b"\xff" * hpke_keys.PUBLIC_BYTES)
    assert refusal(desk.send(session, spoiled)) == "keys.bad_public_key"
    assert desk.records[-1].lease is None


def test_a_policy_that_errs_denies(tmp_path: Path) -> None:
    measured = {"code": running_measurement(), "configuration": CONFIGURATION}
    image = Image("keeper", "local", measured)
    permit = '@id("yes") permit (principal, action, resource);'
    err = (
        '@id("no") forbid (principal, action, resource)'
        " when { (context.approvals - 2) * 9223372036854775807 < 0 };"
    )
    desk = make_desk(tmp_path, policy=Document("own", permit, Allowed(), (image,), {}))
    desk.obtain()
    desk = make_desk(tmp_path, policy=Document("own", permit + err, Allowed(), (image,), {}))
    with pytest.raises(KeyRefused, match=EVALUATION_FAILED) as denied:
        desk.obtain()
    assert denied.value.code == desk.records[-1].reason == "release.denied"
    assert desk.records[-1].because == (EVALUATION_FAILED,)


def altered_challenge(desk: Desk, **changes: object) -> Callable[[], object]:
    requester = desk.requester()
    challenge = body(desk.send(desk.service.open_session(), requester.ask()))
    assert isinstance(challenge, Challenge)
    told = msgspec.json.encode(msgspec.structs.replace(challenge, **changes))
    return lambda: requester.request(desk.service_key.sign(told))


def test_a_suite_of_lesser_strength_is_not_taken(desk: Desk) -> None:
    lesser = altered_challenge(desk, suites=("X25519/HKDF-SHA256/AES-128-GCM",))
    assert code_of(lesser) == "release.no_common_method"
    altered_challenge(desk, suites=("X25519/HKDF-SHA256/AES-128-GCM", hpke_keys.SUITE_NAME))()


def test_a_challenge_that_names_another_service(desk: Desk) -> None:
    assert code_of(altered_challenge(desk, service_key_id="00" * 16)) == "release.answer_mismatch"


def test_an_old_answer_sent_again(desk: Desk) -> None:
    """Signed, genuine, of this service, for this model; and of an earlier request."""
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    old = desk.send(session, request)
    requester.accept(old)
    another, _ = desk.prepared(session)
    assert code_of(lambda: another.accept(old)) == "release.answer_mismatch"


def test_a_challenge_given_to_two(desk: Desk) -> None:
    """Two workloads attest to one challenge, each with a key of its own: the first has it."""
    session = desk.service.open_session()
    one, other = desk.requester(), desk.requester()
    challenge = desk.send(session, one.ask())
    first, second = one.request(challenge), other.request(challenge)
    one.accept(desk.send(session, first))
    assert refusal(desk.send(session, second)) == "release.nonce_unknown"


def test_what_the_service_said_is_no_request(desk: Desk) -> None:
    session = desk.service.open_session()
    challenge = desk.send(session, desk.requester().ask())
    assert refusal(desk.send(session, challenge)) == "release.malformed"
    assert session.ended


def test_more_of_a_thing_than_there_may_be(desk: Desk) -> None:
    for changes in (
        {"recipients": (desk.recipient,) * 65},
        {"evidence": bytes(messages.MAX_EVIDENCE_BYTES + 1)},
        {"additional": bytes(messages.MAX_EVIDENCE_BYTES + 1)},
        {"runtime": bytes(16_385)},
    ):
        session = desk.service.open_session()
        _, request = desk.prepared(session)
        assert refusal(desk.send(session, reshaped(request, **changes))) == "release.malformed"
        assert session.ended
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    requester.accept(desk.send(session, reshaped(request, recipients=(desk.recipient,) * 64)))


def test_more_sessions_than_there_is_room_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for their key loses nothing: the newcomer is turned away, and may come again."""
    monkeypatch.setattr(nonces, "MAX_SESSIONS", 2)
    waiting = desk.service.open_session()
    requester, request = desk.prepared(waiting)
    desk.prepared(desk.service.open_session())
    flood = desk.service.open_session()
    assert refusal(desk.send(flood, desk.requester().ask())) == "release.busy"
    assert not flood.ended  # what it is told to do, it can do
    assert body(desk.send(flood, desk.requester().ask())).passing
    grant = requester.accept(desk.send(waiting, request))
    assert desk.records[-1].manifest_digest == MANIFEST
    assert grant.decision == desk.records[-1].decision
    requester, request = desk.prepared(flood)  # now there is room
    requester.accept(desk.send(flood, request))
    desk.prepared(desk.service.open_session())
