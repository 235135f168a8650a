"""Each attack on key release, beside the honest run that it is one change away from."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from release_desk import CONFIGURATION, CONTEXT, MANIFEST, Desk, body, code_of, edited, make_desk
from release_desk import refusal as refused

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.local import Peer
from strongroom.errors import KeyRefused
from strongroom.keys.hpke import HpkeIdentity
from strongroom.release import binding, messages, nonces, protocol
from strongroom.release.evidence import LocalAttester, measure_installation, running_measurement
from strongroom.release.messages import Challenge, Release, Released, Runtime, Signed
from strongroom.release.nonces import NonceRegistry
from strongroom.release.policies.document import Allowed, Document, Image, template
from strongroom.release.policies.embedded import embedded
from strongroom.release.record import Decision
from strongroom.release.service_key import ServiceKey


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


def replace(**changes: object):  # type: ignore[no-untyped-def]
    return lambda struct: msgspec.structs.replace(struct, **changes)


def test_the_honest_run(desk: Desk) -> None:
    grant = desk.obtain()
    assert bytes(grant.key.reveal(TOKEN)) == desk.secret
    assert grant.assurance == "SOFTWARE-ONLY"
    assert desk.now < grant.lease.renew_before < grant.lease.not_after
    (record,) = desk.records
    assert (record.outcome, record.reason, record.decision) == ("released", "", grant.decision)
    assert record.manifest_digest == MANIFEST
    assert record.configuration == CONFIGURATION
    assert record.code == running_measurement()
    assert record.key_id == desk.identity.key_id
    assert record.pid == os.getpid()


def test_records_hold_no_secret(desk: Desk) -> None:
    desk.obtain()
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    nonce = msgspec.json.decode(msgspec.json.decode(request, type=Release).runtime, type=Runtime)
    desk.send(session, request)
    text = msgspec.json.encode(desk.records)
    for secret in (desk.secret, nonce.nonce):
        assert msgspec.json.encode(secret).strip(b'"') not in text
        assert secret.hex().encode() not in text


# --- nonces ------------------------------------------------------------------------------------


def test_replay(desk: Desk) -> None:
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    first = desk.send(session, request)
    requester.accept(first)
    assert refused(desk.send(session, request)) == "release.nonce_unknown"


def test_a_refused_request_used_its_nonce_up(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    assert refused(desk.send(session, request, Peer(1, 4242))) == "attest.local_user"
    assert refused(desk.send(session, request)) == "release.nonce_unknown"


def test_a_new_challenge_voids_the_old(desk: Desk) -> None:
    session = desk.service.open_session()
    _, old = desk.prepared(session)
    requester, new = desk.prepared(session)
    assert refused(desk.send(session, old)) == "release.nonce_unknown"
    requester.accept(desk.send(session, new))


def test_nonce_of_another_session(desk: Desk) -> None:
    mine, yours = desk.service.open_session(), desk.service.open_session()
    _, request = desk.prepared(yours)
    assert refused(desk.send(mine, request)) == "release.nonce_other_session"
    assert refused(desk.send(yours, request)) == "release.nonce_unknown"


def test_runtime_of_another_session(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    lying = edited(request, runtime=replace(session=os.urandom(16)))
    assert refused(desk.send(session, lying)) == "release.other_session"


@pytest.mark.parametrize(("later", "expired"), [(59.9, False), (60.0, True), (1e6, True)])
def test_expiry(desk: Desk, later: float, expired: bool) -> None:
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    desk.now += later
    answer = desk.send(session, request)
    if expired:
        assert refused(answer) == "release.nonce_expired"
    else:
        requester.accept(answer)


def test_challenges_live_sixty_seconds_and_are_counted(desk: Desk) -> None:
    session = desk.service.open_session()
    ask = desk.requester().ask()
    seen = set()
    for _ in range(protocol.MAX_CHALLENGES):
        challenge = body(desk.send(session, ask))
        assert isinstance(challenge, Challenge)
        assert challenge.expires_at - desk.now <= 60
        seen.add(challenge.nonce)
    assert len(seen) == protocol.MAX_CHALLENGES
    assert refused(desk.send(session, ask)) == "release.too_many_challenges"
    assert session.ended


def test_concurrent_double_use(desk: Desk) -> None:
    for _ in range(20):
        session = desk.service.open_session()
        _, request = desk.prepared(session)
        start = threading.Barrier(4)
        answers: list[bytes] = []

        def present(session=session, request=request, start=start, answers=answers) -> None:  # type: ignore[no-untyped-def]
            start.wait()
            answers.append(desk.send(session, request))

        threads = [threading.Thread(target=present) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kinds = sorted(type(body(answer)).__name__ for answer in answers)
        assert kinds == ["Refused", "Refused", "Refused", "Released"]


def test_the_registry_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_SESSIONS", 2)
    registry = NonceRegistry()
    registry.issue(b"a", b"1", 0)
    registry.issue(b"b", b"2", 0)
    registry.issue(b"b", b"3", 0)
    assert code_of(lambda: registry.issue(b"c", b"4", 59)) == "release.busy"
    registry.issue(b"c", b"4", 60)
    registry.consume(b"c", b"4", 61)


def test_evidence_is_remembered_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_EVIDENCE_REMEMBERED", 2)
    registry = NonceRegistry()
    for digest in "abc":
        registry.remember_evidence(digest)
    assert code_of(lambda: registry.remember_evidence("c")) == "release.evidence_replayed"
    registry.remember_evidence("a")


# --- evidence, policy, peer --------------------------------------------------------------------


def test_evidence_presented_before(desk: Desk) -> None:
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    requester.accept(desk.send(session, request))
    used = msgspec.json.decode(request, type=Release).evidence
    _, fresh = desk.prepared(session)
    again = msgspec.structs.replace(msgspec.json.decode(fresh, type=Release), evidence=used)
    answer = desk.send(session, msgspec.json.encode(again))
    assert refused(answer) == "release.evidence_replayed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tee_public": HpkeIdentity.generate().recipient.public}, "release.evidence_unbound"),
        ({"manifest_digest": "00" * 32}, "release.evidence_unbound"),
        ({"model": "acme/other"}, "release.evidence_unbound"),
        ({"release": 4}, "release.evidence_unbound"),
        ({"context": b"another model"}, "release.evidence_unbound"),
        ({"audience": "00" * 16}, "release.other_audience"),
    ],
)
def test_runtime_changed_under_the_evidence(
    desk: Desk, changes: dict[str, object], code: str
) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    assert refused(desk.send(session, edited(request, runtime=replace(**changes)))) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"report_data": bytes(48)}, "release.evidence_unbound"),
        ({"code": "00" * 32}, "release.denied"),
        ({"pid": 1}, "attest.local_process"),
    ],
)
def test_evidence_that_lies(desk: Desk, changes: dict[str, object], code: str) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    assert refused(desk.send(session, edited(request, evidence=replace(**changes)))) == code


def test_evidence_of_no_known_form(desk: Desk) -> None:
    for content, code in (
        (b"", "attest.bundle_form"),
        (b"{}", "attest.bundle_form"),
        (b'{"kind":"snp"}', "attest.bundle_form"),
        (b"\xff", "attest.bundle_form"),
        (b'{"kind":"local"}', "attest.local_form"),
    ):
        session = desk.service.open_session()
        _, request = desk.prepared(session)
        release = msgspec.structs.replace(
            msgspec.json.decode(request, type=Release), evidence=content
        )
        answer = desk.send(session, msgspec.json.encode(release))
        assert refused(answer) == code


def test_the_peer_must_be_known_and_ours(desk: Desk) -> None:
    for peer, code in (
        (None, "attest.local_sender"),
        (Peer(os.getpid(), os.geteuid() + 1), "attest.local_user"),
        (Peer(os.getpid() + 1, os.geteuid()), "attest.local_process"),
    ):
        session = desk.service.open_session()
        _, request = desk.prepared(session)
        assert refused(desk.service.answer(session, request, peer)) == code


def allowing(*, code: str = "", configuration: str = CONFIGURATION, **allow: Any) -> Document:
    measured = {"code": code or running_measurement(), "configuration": configuration}
    image = Image("keeper", "local", measured)
    return Document("dev", template("dev"), Allowed(**allow), (image,), {})


@pytest.mark.parametrize(
    ("policy", "because"),
    [
        (embedded(), "development"),
        (allowing(manifests=(MANIFEST,)), "development"),
        (allowing(code="00" * 32), "not-permitted"),
        (allowing(configuration="00" * 32), "not-permitted"),
        (allowing(manifests=("00" * 32,)), "model-named"),
        (allowing(approvals=1), "approved"),
        (Document("dev", template("production-cpu"), Allowed(), (), {}), "hardware"),
    ],
)
def test_policy(tmp_path: Path, policy: Document, because: str) -> None:
    desk = make_desk(tmp_path, policy=policy)
    if because == "development":
        desk.obtain()
        assert desk.records[-1].reason == ""
        assert desk.records[-1].because == ("development",)
        assert desk.records[-1].assurance == "SOFTWARE-ONLY"
    else:
        with pytest.raises(KeyRefused, match=because) as refused:
            desk.obtain()
        assert refused.value.code == desk.records[-1].reason == "release.denied"
    assert desk.records[-1].policy_digest == policy.digest


def test_the_measurement_sees_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = 1")
    first = measure_installation(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"cache")
    assert measure_installation(tmp_path) == first
    (tmp_path / "b.py").write_bytes(b"")
    second = measure_installation(tmp_path)
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    third = measure_installation(tmp_path)
    (tmp_path / "a.py").write_bytes(b"x = 2")
    assert len({first, second, third, measure_installation(tmp_path)}) == 4


# --- stanzas -----------------------------------------------------------------------------------


def test_stanza_of_another_model(desk: Desk) -> None:
    foreign = desk.identity.wrap(DataKey.generate(), b"another model")
    assert code_of(lambda: desk.obtain(desk.requester(recipients=[foreign]))) == (
        "keys.other_context"
    )
    assert desk.records[-1].reason == "keys.other_context"
    desk.obtain(desk.requester(recipients=[foreign, desk.recipient]))


def test_stanza_for_somebody_else(desk: Desk) -> None:
    foreign = HpkeIdentity.generate().wrap(desk.key, CONTEXT)
    requester = desk.requester(recipients=[foreign])
    assert code_of(lambda: desk.obtain(requester)) == "release.no_recipient"
    desk.obtain(desk.requester(recipients=[foreign, desk.recipient]))


# --- the answer --------------------------------------------------------------------------------


def test_rogue_service(desk: Desk, tmp_path: Path) -> None:
    rogue = make_desk(tmp_path)
    requester = desk.requester()
    challenge = rogue.send(rogue.service.open_session(), requester.ask())
    assert code_of(lambda: requester.request(challenge)) == "release.bad_signature"
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    honest = msgspec.json.decode(desk.send(session, request), type=Signed)
    resigned = rogue.service_key.sign(honest.body)
    assert code_of(lambda: requester.accept(resigned)) == "release.bad_signature"


def test_relay_to_another_service(desk: Desk, tmp_path: Path) -> None:
    """Evidence made for one service is of no use at another that holds the same wrapping key."""
    other = Desk(ServiceKey.create(tmp_path / "other"), desk.identity)
    there = other.service.open_session()
    challenge = body(other.send(there, other.requester().ask()))
    assert isinstance(challenge, Challenge)
    bait = msgspec.structs.replace(challenge, service_key_id=desk.service_key.key_id)
    request = desk.requester().request(desk.service_key.sign(msgspec.json.encode(bait)))
    assert refused(other.send(there, request)) == "release.other_audience"


def test_altered_answer(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    signed = msgspec.json.decode(desk.send(session, request), type=Signed)
    for position in range(0, len(signed.body), 97):
        spoiled = bytearray(signed.body)
        spoiled[position] ^= 1
        requester, _ = desk.prepared(desk.service.open_session())
        answer = msgspec.json.encode(Signed(bytes(spoiled), signed.signature))
        assert code_of(lambda r=requester, a=answer: r.accept(a)) == "release.bad_signature"


def _accept_resigned(desk: Desk, **changes: object) -> str:
    """What becomes of an answer that the true service key signs with ``changes``."""
    session = desk.service.open_session()
    requester, request = desk.prepared(session)
    answer = body(desk.send(session, request))
    assert isinstance(answer, Released)
    changed = msgspec.json.encode(msgspec.structs.replace(answer, **changes))
    return code_of(lambda: requester.accept(desk.service_key.sign(changed)))


def test_answer_of_another_request(desk: Desk) -> None:
    for changes in (
        {"session": os.urandom(16)},
        {"nonce": os.urandom(32)},
        {"audience": "00" * 16},
        {"manifest_digest": "00" * 32},
        {"evidence_digest": "00" * 32},
    ):
        assert _accept_resigned(desk, **changes) == "release.answer_mismatch"


def test_info_binds_policy_and_key(desk: Desk) -> None:
    assert _accept_resigned(desk, policy_digest="00" * 32) == "keys.altered"
    assert _accept_resigned(desk, key_id="another") == "keys.altered"
    sealed = os.urandom(32 + 1120 + 16)
    assert _accept_resigned(desk, sealed=sealed) == "keys.altered"
    over = messages.Lease(5, not_after=5, renew_before=5)
    assert _accept_resigned(desk, lease=over) == "release.lease_over"


def test_swapped_keys_between_two_requests(desk: Desk) -> None:
    """The sealed key of one request does not open in another, though both are of this service."""
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    other = body(desk.send(session, request))
    assert isinstance(other, Released)
    assert _accept_resigned(desk, sealed=other.sealed) == "keys.altered"


def test_answers_out_of_turn(desk: Desk) -> None:
    session = desk.service.open_session()
    requester = desk.requester()
    challenge = desk.send(session, requester.ask())
    assert code_of(lambda: requester.accept(challenge)) == "release.unexpected_answer"
    request = requester.request(challenge)
    assert code_of(lambda: requester.accept(challenge)) == "release.unexpected_answer"
    answer = desk.send(session, request)
    assert code_of(lambda: requester.accept(answer)) == "release.unexpected_answer"
    assert code_of(lambda: desk.requester().request(answer)) == "release.unexpected_answer"
    unknown = desk.service_key.sign(b'{"type":"other"}')
    assert code_of(lambda: desk.requester().request(unknown)) == "release.malformed_answer"
    assert code_of(lambda: desk.requester().request(b"{}")) == "release.malformed_answer"


def test_no_common_method(desk: Desk) -> None:
    class Other(LocalAttester):
        kind = "other"

    requester = desk.requester(attester=Other(CONFIGURATION))
    challenge = desk.send(desk.service.open_session(), requester.ask())
    assert code_of(lambda: requester.request(challenge)) == "release.no_common_method"


# --- malformed bodies --------------------------------------------------------------------------


def test_malformed_messages_end_the_session(desk: Desk) -> None:
    for payload in (
        b"",
        b"\xff\xfe",
        b"null",
        b'{"type":"ask"',
        b'{"type":"ask","surplus":1}',
        b'{"type":"ask","protocol":2}',
        b'{"type":"released"}',
        b'{"type":"release","runtime":"","evidence":"","recipients":[]}',
        b"[" * 100_000,
    ):
        session = desk.service.open_session()
        _, request = desk.prepared(session)
        assert refused(desk.send(session, payload)) == "release.malformed"
        assert session.ended
        assert refused(desk.send(session, request)) == "release.session_ended"


def test_malformed_runtime_voids_the_nonce(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    release = msgspec.json.decode(request, type=Release)
    surplus = release.runtime.replace(b'{"session"', b'{"surplus":1,"session"')
    assert surplus != release.runtime
    spoiled = msgspec.json.encode(msgspec.structs.replace(release, runtime=surplus))
    assert refused(desk.send(session, spoiled)) == "release.malformed"
    fresh = desk.service.open_session()
    assert refused(desk.send(fresh, request)) == "release.nonce_unknown"


def test_oversized_message(desk: Desk) -> None:
    session = desk.service.open_session()
    padded = desk.requester().ask() + b" " * messages.MAX_MESSAGE_BYTES
    assert refused(desk.send(session, padded)) == "release.oversized"
    assert session.ended


# --- the record --------------------------------------------------------------------------------


def test_without_a_record_nothing_is_released(desk: Desk, tmp_path: Path) -> None:
    def broken(_: Decision) -> None:
        raise OSError("disk full")

    service = protocol.ReleaseService(
        service_key=desk.service_key,
        unlockers=[desk.identity],
        policy=embedded(),
        record=broken,
        clock=protocol.Clock(lambda: desk.now, lambda: desk.now),
    )
    desk.obtain()
    desk.service = service
    assert code_of(desk.obtain) == "release.record_failed"


def test_every_refusal_is_recorded_with_its_code(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    desk.send(session, request)
    answer = body(desk.send(session, request))
    assert isinstance(answer, messages.Refused)
    record = desk.records[-1]
    assert (record.decision, record.reason) == (answer.decision, answer.code)
    assert (record.outcome, record.lease, record.assurance) == ("refused", None, None)


def test_info_is_unambiguous() -> None:
    one = binding.info(b"s" * 16, b"n" * 32, b"ab", "c", "d")
    assert one != binding.info(b"s" * 16, b"n" * 32, b"a", "bc", "d")
    assert one != binding.info(b"s" * 16, b"n" * 32, b"ab", "", "cd")
