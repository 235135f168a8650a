"""The KBS protocol end to end, by a guest that shares no code with the service, and its attacks."""

from __future__ import annotations

import base64
import copy
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from strongroom.cli.decisions import entry_of
from strongroom.errors import StrongroomError
from strongroom.ledger.entries import Recorded, encode
from strongroom.ledger.release_entries import KeyRefused, KeyReleased
from strongroom.release.approvals.tally import Tally
from strongroom.release.kbs import sessions
from strongroom.release.lineage import require_standing
from strongroom.release.policies.document import Document
from strongroom.store.lineage import Derivation, Named, Revocation
from tests.attest.simulated import amd

from .conftest import MANIFEST, PATH, Kbs, code, policy
from .guest import Guest, b64url, unb64url

jwt = pytest.importorskip("jwt", reason="PyJWT is not installed")


@pytest.mark.parametrize("kind", ["P-256", "P-521", "RSA"])
def test_a_guest_gets_its_key(kbs: Kbs, kind: str) -> None:
    guest = Guest(kind)
    cookie, _ = kbs.attested(guest)
    answer = kbs.fetch(cookie)
    assert answer.status == 200
    assert guest.open(json.loads(answer.body)) == kbs.secret
    assert kbs.secret not in answer.body
    (decision,) = kbs.records
    assert (decision.outcome, decision.manifest_digest) == ("released", MANIFEST)
    assert (decision.evidence_kind, decision.assurance) == ("snp", "HARDWARE")
    assert decision.because
    assert kbs.secret.hex() not in repr(decision)


@pytest.mark.parametrize("product", ["Genoa", "Turin"])
def test_both_layouts_of_tcb(kbs: Kbs, product: str) -> None:
    guest = Guest(product=product)
    assert guest.open(json.loads(kbs.fetch(kbs.attested(guest)[0]).body)) == kbs.secret


def test_the_record_takes_what_was_decided(kbs: Kbs) -> None:
    import msgspec

    cookie, _ = kbs.attested(Guest())
    kbs.fetch(cookie)
    kbs.fetch(kbs.attested(Guest(report={"measurement": bytes(48)}))[0])
    released, refused = [entry_of(msgspec.json.encode(noted)) for noted in kbs.records]
    assert isinstance(released, KeyReleased)
    assert isinstance(refused, KeyRefused)
    assert released.lease_until == 0
    assert refused.reason == "release.denied"
    for entry in (released, refused):
        encode(Recorded(0, 0, entry))


def test_a_token_is_a_handle_on_its_session_too(kbs: Kbs) -> None:
    guest = Guest()
    _, token = kbs.attested(guest)
    answer = kbs.ask("GET", f"resource/{PATH}", authorizations=(f"Bearer {token}",))
    assert guest.open(json.loads(answer.body)) == kbs.secret
    public = jwt.PyJWK({**kbs.parts.token_key.jwk, "alg": "ES256"}).key
    options = {"verify_exp": False, "verify_iat": False}
    issuer = kbs.parts.issuer
    claims = jwt.decode(token, public, algorithms=["ES256"], audience=issuer, options=options)
    assert claims["tee-pubkey"] == guest.jwk
    assert claims["submods"]["cpu0"]["ear_status"] == "affirming"


def test_a_token_of_another_service_is_no_handle(kbs: Kbs, make: Any) -> None:
    _, token = make().attested(Guest())
    for authorization in (f"Bearer {token}", f"Basic {token}", "Bearer ", token):
        answer = kbs.ask("GET", f"resource/{PATH}", authorizations=(authorization,))
        assert code(answer) == "release.kbs_session"


def test_gpus_are_committed_to(make: Any) -> None:
    kbs = make(policy=policy("production-gpu", gpus=2))
    guest = Guest(gpus=(0, 1))
    assert guest.open(json.loads(kbs.fetch(kbs.attested(guest)[0]).body)) == kbs.secret
    fewer = kbs.attested(Guest(gpus=(0,)))[0]
    assert code(kbs.fetch(fewer), 403) == "release.denied"
    none = kbs.attested(Guest())[0]
    assert code(kbs.fetch(none), 403) == "release.denied"


def _other_gpus(body: dict[str, Any]) -> None:
    body["tee-evidence"]["additional_evidence"] = json.dumps(
        {"nvidia": Guest(gpus=(1,)).devices(bytes(32))}
    )


def _no_gpus(body: dict[str, Any]) -> None:
    body["tee-evidence"]["additional_evidence"] = ""


def _respelled(body: dict[str, Any]) -> None:
    body["tee-evidence"]["additional_evidence"] += " "


def _other_key(body: dict[str, Any]) -> None:
    body["runtime-data"]["tee-pubkey"] = Guest().jwk


@pytest.mark.parametrize("swap", [_other_gpus, _no_gpus, _respelled, _other_key])
def test_what_the_processor_commits_to_cannot_be_swapped(make: Any, swap: Any) -> None:
    kbs = make(policy=policy("production-gpu", gpus=1))
    guest = Guest(gpus=(0,))
    cookie, nonce = kbs.auth(guest)
    body = guest.attestation(nonce)
    swap(body)
    assert code(kbs.attest(cookie, body)) == "attest.snp_report_data"
    assert code(kbs.fetch(cookie)) == "release.kbs_not_attested"
    assert [noted.reason for noted in kbs.records] == ["attest.snp_report_data"]


def test_a_gpu_must_answer_this_challenge(make: Any) -> None:
    """The processor commits to a report of the GPU that was made for somebody else's key."""
    kbs = make(policy=policy("production-gpu", gpus=1))

    class Relaying(Guest):
        def devices(self, nonce: bytes) -> dict[str, Any]:
            return super().devices(bytes(32))

    guest = Relaying(gpus=(0,))
    cookie, nonce = kbs.auth(guest)
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "attest.nvidia_nonce"


def test_a_challenge_works_once(kbs: Kbs) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    body = guest.attestation(nonce)
    assert kbs.attest(cookie, body).status == 200
    again = kbs.attest(cookie, body)
    assert code(again) == "release.nonce_unknown"
    assert b"token" not in again.body
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.nonce_unknown"


def test_a_challenge_is_used_up_by_a_wrong_answer(kbs: Kbs) -> None:
    for spoil in (b"{", b"x" * (1024 * 1024 + 1), b"[]"):
        guest = Guest()
        cookie, nonce = kbs.auth(guest)
        wanted = "release.kbs_oversized" if len(spoil) > 10 else "release.kbs_malformed"
        assert code(kbs.attest(cookie, spoil)) == wanted
        assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.nonce_unknown"
    cookie, nonce = kbs.auth(guest)
    bad = guest.attestation(nonce)
    bad["tee-evidence"]["primary_evidence"]["attestation_report"]["vmpl"] = 3
    assert code(kbs.attest(cookie, bad)) == "attest.snp_signature"
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.nonce_unknown"


def test_a_nonce_that_is_no_base64(kbs: Kbs) -> None:
    guest = Guest()
    cookie, _ = kbs.auth(guest)
    body = guest.attestation("no base64!")
    assert code(kbs.attest(cookie, body)) == "release.kbs_malformed"


def test_a_coordinate_of_another_length(kbs: Kbs) -> None:
    """A leading zero more would give the same point, and so a second spelling of one key."""
    from strongroom.release.kbs import tee_key

    jwk = Guest("P-521").jwk
    padded = {name: b64url(b"\0" + unb64url(jwk[name])) for name in ("x", "y")}
    shifted = {**jwk, **padded, "crv": "P-521"}
    for wrong in (shifted, {**jwk, "y": padded["y"], "x": b64url(unb64url(jwk["x"])[1:])}):
        with pytest.raises(StrongroomError) as refused:
            tee_key.read(wrong)
        assert refused.value.code == "release.kbs_tee_key"
    last = jwk["x"][-1]
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        if other != last and unb64url(jwk["x"][:-1] + other) == unb64url(jwk["x"]):
            with pytest.raises(StrongroomError):
                tee_key.read({**jwk, "x": jwk["x"][:-1] + other})


def test_a_challenge_of_another_session(kbs: Kbs) -> None:
    guest = Guest()
    cookie, _ = kbs.auth(guest)
    _, stolen = kbs.auth(guest)
    body = guest.attestation(stolen)
    assert code(kbs.attest(cookie, body)) == "release.nonce_other_session"


def test_one_of_two_at_once_wins(kbs: Kbs) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    bodies = [guest.attestation(nonce) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda body: kbs.attest(cookie, body).status, bodies))
    assert sorted(statuses) == [200, *[401] * 7]


def test_challenges_and_sessions_end(kbs: Kbs) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    kbs.clock[0] += 60
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.kbs_session"
    cookie, _ = kbs.attested(guest)
    kbs.clock[0] += sessions.LIFETIME_SECONDS - 1
    assert kbs.fetch(cookie).status == 200
    kbs.clock[0] += 1
    assert code(kbs.fetch(cookie)) == "release.kbs_session"


def test_a_session_fetches_so_many(kbs: Kbs) -> None:
    cookie, _ = kbs.attested(Guest())
    statuses = [kbs.fetch(cookie).status for _ in range(sessions.MAX_RESOURCES)]
    assert set(statuses) == {200}
    assert code(kbs.fetch(cookie)) == "release.kbs_exhausted"


def test_no_more_sessions_than_there_is_room_for(kbs: Kbs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    for _ in range(3):
        kbs.auth(Guest())
    assert code(kbs.ask("POST", "auth", Guest().request())) == "release.busy"
    kbs.clock[0] += 60
    kbs.auth(Guest())


@pytest.mark.parametrize(
    "cookies",
    [(), ("kbs-session-id=00",), ("other=1",), ("kbs-session-id=a; kbs-session-id=b",)],
)
def test_without_a_session(kbs: Kbs, cookies: tuple[str, ...]) -> None:
    assert code(kbs.ask("GET", f"resource/{PATH}", cookies=cookies)) == "release.kbs_session"
    answer = kbs.ask("POST", "attest", Guest().attestation("AA=="), cookies=cookies)
    assert code(answer) == "release.kbs_session"


def test_before_attestation_nothing_is_told_of_resources(kbs: Kbs) -> None:
    cookie, _ = kbs.auth(Guest())
    assert code(kbs.fetch(cookie)) == "release.kbs_not_attested"
    assert code(kbs.fetch(cookie, "no/such/thing")) == "release.kbs_not_attested"
    attested, _ = kbs.attested(Guest())
    for path in ("no/such/thing", "models/llama", PATH + "/..", "../" + PATH, ""):
        assert code(kbs.fetch(attested, path), 404) == "release.kbs_no_resource"


@pytest.mark.parametrize(
    ("method", "name"),
    [("POST", f"resource/{PATH}"), ("GET", "auth"), ("POST", "resource-policy"), ("PUT", "attest")],
)
def test_nothing_else_is_served(kbs: Kbs, method: str, name: str) -> None:
    cookie, _ = kbs.attested(Guest())
    assert code(kbs.ask(method, name, {}, cookies=(cookie,)), 404) == "release.kbs_no_resource"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"version": "0.3.0"}, "release.kbs_version"),
        ({"version": "0.4.1"}, "release.kbs_version"),
        ({"tee": "sample"}, "release.kbs_tee"),
        ({"tee": "sev"}, "release.kbs_tee"),
        ({"extra-params": {"attestation-policy-selector": "alice"}}, "release.kbs_selector"),
        (
            {"extra-params": {"tee-metadata": {"primary_tee": {"tee": "tdx"}}}},
            "release.kbs_tee",
        ),
        ({"extra-params": "x"}, "release.kbs_malformed"),
        ({"more": 1}, "release.kbs_malformed"),
    ],
)
def test_requests_that_are_refused(kbs: Kbs, change: dict[str, Any], wanted: str) -> None:
    assert code(kbs.ask("POST", "auth", {**Guest().request(), **change})) == wanted


def test_extra_params_as_guests_send_them(kbs: Kbs) -> None:
    metadata = {"primary_tee": {"tee": "snp", "metadata": {}}, "additional_tees": []}
    for more in ("", None, {}, {"tee-metadata": metadata}):
        assert kbs.ask("POST", "auth", {**Guest().request(), "extra-params": more}).status == 200


def test_a_name_that_stands_twice(kbs: Kbs) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    text = json.dumps(guest.attestation(nonce))
    twice = text.replace('"nonce":', '"nonce": "AA==", "nonce":', 1)
    assert code(kbs.attest(cookie, twice.encode())) == "release.kbs_malformed"


KEYS: list[dict[str, Any]] = [
    {"alg": "RSA1_5"},
    {"alg": "ECDH-ES"},
    {"crv": "P-384"},
    {"kty": "OKP"},
    {"x": "AA"},
    {"x": "AA="},
    {"x": "A"},
    {"x": b64url(bytes(1)) + b64url(bytes(33))},
    {"y": b64url(bytes(32))},
    {"more": "x"},
]


@pytest.mark.parametrize("change", KEYS, ids=str)
def test_keys_that_are_not_taken(kbs: Kbs, change: dict[str, str]) -> None:
    guest = Guest()
    guest.jwk = {**guest.jwk, **change}
    cookie, nonce = kbs.auth(guest)
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.kbs_tee_key"


@pytest.mark.parametrize(
    "change", [{"alg": "RSA1_5"}, {"e": "Aw"}, {"n": b64url(b"\xc1" * 128)}], ids=str
)
def test_rsa_keys_that_are_not_taken(kbs: Kbs, change: dict[str, str]) -> None:
    guest = Guest("RSA")
    guest.jwk = {**guest.jwk, **change}
    cookie, nonce = kbs.auth(guest)
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "release.kbs_tee_key"


def test_the_policy_decides(kbs: Kbs) -> None:
    cookie, _ = kbs.attested(Guest(report={"measurement": bytes(48)}))
    assert code(kbs.fetch(cookie), 403) == "release.denied"
    assert kbs.records[-1].reason == "release.denied"
    assert kbs.records[-1].lease is None


def test_the_owners_expectations_hold(make: Any) -> None:
    strict: Document = policy()
    strict = type(strict)(
        strict.name,
        strict.cedar,
        strict.allow,
        strict.images,
        # What a session must have bound is not the owner's to relax.
        {"snp": {"minimum_guest_svn": 3, "report_data": "00" * 64}},
    )
    kbs = make(policy=strict)
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    assert code(kbs.attest(cookie, guest.attestation(nonce))) == "attest.snp_guest_svn"
    assert kbs.fetch(kbs.attested(Guest(report={"guest_svn": 3}))[0]).status == 200


def test_approvals_are_asked_for_this_model_and_policy(make: Any) -> None:
    kbs = make(policy=policy(approvals=2))
    cookie, _ = kbs.attested(Guest())
    assert code(kbs.fetch(cookie), 403) == "release.approvals_missing"
    ((subject, needed),) = kbs.approved
    assert (subject.model, subject.release, subject.manifest) == ("acme/llama", 3, MANIFEST)
    assert (subject.policy, needed) == (policy(approvals=2).digest, 2)
    people = ("ada", "bob")
    tally = Tally("7" * 32, people, (2**31, 2**31), ())
    approving = make(policy=policy(approvals=2), approvals=lambda _subject, _needed: tally)
    assert approving.fetch(approving.attested(Guest())[0]).status == 200
    assert (approving.records[-1].grant, approving.records[-1].approvers) == (tally.request, people)
    # Neither too small a count nor a service that counts none is taken for enough.
    one = replace(tally, approvers=("ada",), ends=(2**31,))
    for counts in (lambda _subject, _needed: one, None):
        few = make(policy=policy(approvals=2), approvals=counts)
        assert code(few.fetch(few.attested(Guest())[0]), 403) == "release.denied"


def test_a_revoked_model_gets_no_key(make: Any) -> None:
    revoked: list[Revocation] = []
    made = Derivation(Named("acme/llama", 3, MANIFEST), Named("acme/base", 1, "ee" * 32), "ada", 1)
    kbs = make(standing=lambda asked: require_standing(asked, revoked, (made,)))
    guest = Guest()
    cookie, _ = kbs.attested(guest)
    assert guest.open(json.loads(kbs.fetch(cookie).body)) == kbs.secret
    revoked.append(Revocation("acme/base", 0, "", "leaked", "ada", 2))
    assert code(kbs.fetch(cookie), 403) == "release.source_revoked"
    revoked.append(Revocation("", 0, MANIFEST, "leaked", "ada", 3))
    assert code(kbs.fetch(cookie), 403) == "release.revoked"
    assert [noted.reason for noted in kbs.records] == [
        "", "release.source_revoked", "release.revoked",
    ]  # fmt: skip


def test_nothing_is_released_that_cannot_be_recorded(make: Any) -> None:
    def fail(_decision: object) -> None:
        raise OSError

    kbs = make(record=fail)
    cookie, _ = kbs.attested(Guest())
    assert code(kbs.fetch(cookie)) == "release.record_failed"


def test_unlocking_can_fail(make: Any) -> None:
    def locked(_recipients: object, _context: bytes) -> Any:
        raise StrongroomError("release.no_recipient", "No.", action="None.")

    kbs = make(unlock=locked)
    assert code(kbs.fetch(kbs.attested(Guest())[0])) == "release.no_recipient"


def test_evidence_is_judged_by_its_verifier(kbs: Kbs) -> None:
    """A debug guest, an attacker's certificate, a chip of nobody: the verifier's codes come out."""
    wanted = {"attest.snp_debug": Guest(report={"policy": 0xA0000})}
    for expected, guest in wanted.items():
        cookie, nonce = kbs.auth(guest)
        assert code(kbs.attest(cookie, guest.attestation(nonce))) == expected
        assert kbs.records[-1].reason == expected
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    body = guest.attestation(nonce)
    chain = body["tee-evidence"]["primary_evidence"]["cert_chain"]
    chain[0]["data"] = list(amd.load("Turin", "vcek"))
    assert code(kbs.attest(cookie, body)).startswith("attest.snp_")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda e: e.pop("cert_chain"),
        lambda e: e.update(cert_chain=None),
        lambda e: e["cert_chain"].append(e["cert_chain"][0]),
        lambda e: e["cert_chain"][0].update(data=[1, 2, 3]),
        lambda e: e["cert_chain"][0].update(cert_type="ASK"),
        lambda e: e["attestation_report"].pop("policy"),
        lambda e: e["attestation_report"].update(launch_mit_vector=0),
        lambda e: e["attestation_report"].update(policy=2**64),
        lambda e: e["attestation_report"].update(vmpl=-1),
        lambda e: e["attestation_report"]["report_data"].pop(),
    ],
)
def test_evidence_of_another_form(kbs: Kbs, break_it: Any) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    body = guest.attestation(nonce)
    break_it(body["tee-evidence"]["primary_evidence"])
    assert code(kbs.attest(cookie, body)) == "release.kbs_evidence"


def test_evidence_seen_before(kbs: Kbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a service whose challenges repeat takes no evidence twice."""
    from strongroom.release.kbs import service

    monkeypatch.setattr(service.os, "urandom", lambda size: bytes(size))
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    body = guest.attestation(nonce)
    assert kbs.attest(cookie, copy.deepcopy(body)).status == 200
    again, _ = kbs.auth(guest)
    assert code(kbs.attest(again, body)) == "release.evidence_replayed"


def test_the_nonce_is_of_32_bytes_and_never_twice(kbs: Kbs) -> None:
    nonces = [kbs.auth(Guest())[1] for _ in range(20)]
    assert len({*nonces}) == 20
    assert {len(base64.b64decode(nonce)) for nonce in nonces} == {32}
