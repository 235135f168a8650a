"""A lease is renewed in time, or it ends: by its clock, by a signed refusal, and by nothing else.

The service is the real one behind a real socket; clock and wire are in the tests' hands, so that
nothing waits and nothing depends on how fast this machine is.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom import framing
from strongroom.boundary.frames import ToGateway, ToKeeper, Tokens
from strongroom.errors import EnvironmentLacks, KeyRefused
from strongroom.keeper.channel import Channel, serve
from strongroom.keeper.lease import TRIES, HeldLease, since_boot
from strongroom.release import messages
from strongroom.release.evidence import LocalAttester
from strongroom.release.messages import Lease, Refused, Renew, Renewed, Signed
from strongroom.release.policies.document import Leasing
from strongroom.release.policies.embedded import embedded
from strongroom.release.protocol import MAX_CHALLENGES, Clock, ReleaseService
from tests.release.release_desk import CONFIGURATION, Desk, body, make_desk

SECONDS, GRACE = 3, 2
STEP = 0.125
"""Of the tests' clock at each turn; binary, so that sums are exact."""

Tamper = Callable[[bytes], list[bytes]]


def untouched(answer: bytes) -> list[bytes]:
    return [answer]


class Wire:
    """A keeper's lease, the service that granted it, and who stands between the two."""

    def __init__(self, folder: Path, **attester: Any) -> None:
        self.desk: Desk = make_desk(folder, policy=embedded(lease=Leasing(SECONDS, GRACE)))
        self.desk.now = 1_000_000.0
        self.now = 50.0
        self.session = self.desk.service.open_session()
        requester, request = self.desk.prepared(self.session, self.desk.requester(**attester))
        grant = requester.accept(self.desk.send(self.session, request))
        self.decision = grant.decision
        ours, self.service = socket.socketpair()
        self.service.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        self._frames = framing.FrameBuffer(messages.MAX_MESSAGE_BYTES)
        self.lease = HeldLease(
            grant.lease, self.now, grant.renewer, ours.detach(), clock=lambda: self.now
        )
        self.granted_until = self.lease.end
        self.asked: list[bytes] = []
        self.tamper: Tamper = untouched

    def replace_service(self, **more: Any) -> None:
        """Something about the service changed; its session and key did not."""
        given: dict[str, Any] = {"record": self.desk.records.append, **more}
        self.desk.service = ReleaseService(
            service_key=self.desk.service_key,
            unlockers=[],
            policy=self.desk.policy,
            clock=Clock(lambda: self.desk.now, lambda: self.desk.now),
            **given,
        )

    def answer(self) -> None:
        """What the service does with what has come."""
        try:
            data = self.service.recv(1 << 22)
        except BlockingIOError:
            return
        for payload in self._frames.feed(data):
            self.asked.append(payload)
            for answer in self.tamper(self.desk.send(self.session, payload)):
                self.service.sendall(framing.encode(answer, messages.MAX_MESSAGE_BYTES))

    def turn(self, *, answering: bool = True) -> None:
        """One turn of both sides, and of the clock."""
        self.now += STEP
        self.desk.now += STEP
        self.lease.look()
        if answering:
            self.answer()

    def run(self, seconds: float, *, answering: bool = True) -> None:
        """Turn for so long."""
        for _ in range(int(seconds / STEP)):
            self.turn(answering=answering)

    def ends(self, *, within: float = 60.0, answering: bool = True) -> str:
        """The code with which the lease ends; a test fails if it does not."""
        with pytest.raises(KeyRefused) as ended:
            self.run(within, answering=answering)
        return ended.value.code

    def outcomes(self) -> list[str]:
        return [each.outcome for each in self.desk.records]

    def at_its_end(self, end: float) -> bool:
        """Whether it is the first turn after ``end``."""
        return end <= self.now < end + STEP


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    wire = Wire(tmp_path)
    yield wire
    wire.lease.hang_up()
    wire.service.close()


def resigned(wire: Wire, kind: type, **changes: Any) -> Tamper:
    """The service's own signature under an answer of ``kind`` that says something else."""

    def tamper(answer: bytes) -> list[bytes]:
        told = body(answer)
        if not isinstance(told, kind):
            return [answer]
        changed = msgspec.structs.replace(told, **changes)
        return [wire.desk.service_key.sign(msgspec.json.encode(changed))]

    return tamper


# --- positive: renewed, it goes on ---------------------------------------------------------------


def test_renewals_keep_it_for_many_leases(wire: Wire) -> None:
    wire.run(5 * SECONDS)
    assert wire.now > wire.granted_until + 3 * SECONDS
    assert wire.lease.end > wire.now
    assert set(wire.outcomes()[1:]) == {"renewed"}
    assert len(wire.outcomes()) - 1 >= 5 * SECONDS / (SECONDS - GRACE + 1)
    assert {each.renews for each in wire.desk.records[1:]} == {wire.decision}


def test_nothing_is_asked_before_it_is_time(wire: Wire) -> None:
    wire.run(SECONDS - GRACE - STEP)
    assert not wire.asked
    assert wire.lease.events == 0
    wire.run(2 * STEP)
    assert len(wire.asked) >= 1


def test_a_keeper_serves_through_its_renewals(wire: Wire) -> None:
    """The loop that serves, with the lease in it: answers go out before and after each renewal."""
    gateway, theirs = socket.socketpair()
    gateway.setblocking(False)
    session, heard = Endless(), 0

    def stop() -> bool:
        nonlocal heard
        heard += len(drained(gateway))
        wire.now += STEP
        wire.desk.now += STEP
        wire.answer()
        return wire.now > wire.granted_until + 3 * SECONDS

    with gateway, theirs:
        serve(Channel(theirs.fileno()), session, Unwatched(), wire.lease, stop)
    assert wire.outcomes().count("renewed") >= 4
    assert session.stepped > 3 * SECONDS / STEP
    assert heard > 0


# --- gone or silent: to the end and no further ---------------------------------------------------


def test_a_service_that_hung_up_is_borne_until_the_end(wire: Wire) -> None:
    wire.run(SECONDS)
    end = wire.lease.end
    wire.service.close()
    assert wire.ends(answering=False) == "keeper.lease_over"
    assert wire.at_its_end(end)


def test_a_silent_service_is_borne_until_the_end_and_asked_once(wire: Wire) -> None:
    end = wire.lease.end
    assert wire.ends(answering=False) == "keeper.lease_over"
    assert wire.at_its_end(end)
    (asked,) = framing.FrameBuffer(1000).feed(wire.service.recv(1 << 20))
    assert msgspec.json.decode(asked) == {"type": "ask", "protocol": 1}


def test_the_loop_ends_when_the_lease_does_and_does_not_spin(wire: Wire) -> None:
    """An idle keeper, a dead service: the loop waits, and wakes for the end."""
    wire.service.close()
    wire.run(SECONDS - 2 * STEP, answering=False)
    gateway, theirs = socket.socketpair()
    turns = 0

    def stop() -> bool:
        nonlocal turns
        turns += 1
        assert wire.lease.events == 0  # a poll for what has hung up would return at once
        assert wire.lease.milliseconds <= 1000 * 2 * STEP + 1
        wire.now += STEP
        return turns > 10

    session = Endless()
    session.busy = False
    with gateway, theirs, pytest.raises(KeyRefused, match="lease_over"):
        serve(Channel(theirs.fileno()), session, Unwatched(), wire.lease, stop)
    assert turns <= 4


def test_an_answer_that_is_late_lengthens_nothing(wire: Wire) -> None:
    wire.run(SECONDS - GRACE + STEP, answering=False)
    asked = wire.now
    wire.run(GRACE - 3 * STEP, answering=False)
    for _ in range(4):  # challenge and answer, at the last moment
        wire.answer()
        wire.lease.look()
    assert wire.outcomes() == ["released", "renewed"]
    assert asked + SECONDS - STEP <= wire.lease.end <= asked + SECONDS
    assert wire.ends(answering=False) == "keeper.lease_over"
    assert wire.now <= asked + SECONDS + STEP


def test_terms_are_lengths_whatever_the_service_s_clock_says(wire: Wire) -> None:
    wire.tamper = resigned(wire, Renewed, lease=Lease(9_000_000, 9_000_003, 9_000_001))
    wire.run(SECONDS)
    assert wire.now < wire.lease.end <= wire.now + SECONDS
    wire.tamper = resigned(wire, Renewed, lease=Lease(5, 6, 6))  # shorter than before: it holds
    assert wire.ends() == "keeper.lease_over"
    assert wire.now <= wire.lease.end + STEP <= wire.granted_until + SECONDS


def test_the_clock_is_one_that_a_suspended_machine_does_not_stop() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= since_boot() <= time.clock_gettime(time.CLOCK_BOOTTIME)


# --- refused: at once ----------------------------------------------------------------------------


def revoked(_: object) -> None:
    raise KeyRefused("release.revoked", "It is revoked.", action="Ask its owner.")


def test_a_signed_refusal_ends_it_at_once(wire: Wire) -> None:
    wire.run(2 * SECONDS)
    wire.replace_service(standing=revoked)
    end, before = wire.lease.end, wire.now
    assert wire.ends() == "keeper.lease_refused"
    assert wire.now < end
    assert wire.now <= before + SECONDS - GRACE + 4 * STEP
    assert wire.desk.records[-1].reason == "release.revoked"


def test_an_old_refusal_ends_nothing(wire: Wire, tmp_path: Path) -> None:
    other = Wire(tmp_path)
    other.desk, refusals = wire.desk, []
    wire.replace_service(standing=revoked)
    other.session = wire.desk.service.open_session()
    other.tamper = lambda answer: refusals.append(answer) or [answer]  # type: ignore[func-returns-value]
    other.lease._renewer._asking = wire.lease._renewer._asking
    assert other.ends() == "keeper.lease_refused"
    wire.replace_service()
    wire.tamper = lambda answer: [refusals[-1] if isinstance(body(answer), Renewed) else answer]
    assert isinstance(body(refusals[-1]), Refused)
    assert wire.ends() == "keeper.lease_over"  # what was replaced did not renew it either


def test_a_refusal_that_somebody_else_signed_ends_nothing(wire: Wire, tmp_path: Path) -> None:
    rogue = make_desk(tmp_path)

    def tamper(answer: bytes) -> list[bytes]:
        told = body(answer)
        if not isinstance(told, Renewed):
            return [answer]
        refused = Refused("d", told.session, "release.revoked", "Revoked.", "Ask.", passing=False)
        return [rogue.service_key.sign(msgspec.json.encode(refused))]

    wire.tamper = tamper
    assert wire.ends() == "keeper.lease_over"


# --- passing: again, and not too often -----------------------------------------------------------


def _no_store(_: object) -> None:
    raise EnvironmentLacks("store.unavailable", "The store is gone.", action="Repair it.")


def test_a_service_that_cannot_judge_is_asked_again_until_it_can(wire: Wire) -> None:
    wire.replace_service(standing=_no_store)
    wire.run(SECONDS - 1)
    assert len(wire.outcomes()) > 2
    assert "renewed" not in wire.outcomes()
    wire.replace_service()
    wire.run(2 * SECONDS)
    assert "renewed" in wire.outcomes()


def test_a_session_has_challenges_for_all_tries_of_a_grace(wire: Wire) -> None:
    """Even if every try of the longest grace fails."""
    wire.lease._take(Lease(0, 7 * 24 * 3600, 3600))
    assert (7 * 24 - 1) * 3600 / wire.lease._pause <= TRIES < MAX_CHALLENGES
    wire.replace_service(standing=_no_store)
    assert wire.lease._pause == pytest.approx((7 * 24 - 1) * 3600 / TRIES)


def test_evidence_that_fails_is_made_again(tmp_path: Path) -> None:
    class Moody(LocalAttester):
        failing = False

        def attest(self, report_data: bytes) -> bytes:
            if self.failing:
                raise EnvironmentLacks("attester.gone", "No answer.", action="Wait.")
            return super().attest(report_data)

    moody = Moody(CONFIGURATION)
    wire = Wire(tmp_path, attester=moody)
    moody.failing = True
    wire.run(SECONDS - 1)
    assert wire.outcomes() == ["released"]
    moody.failing = False
    wire.run(2 * SECONDS)
    assert "renewed" in wire.outcomes()


# --- what is not the service's word --------------------------------------------------------------


def _forged(wire: Wire, tmp_path: Path) -> Tamper:
    rogue = make_desk(tmp_path)

    def tamper(answer: bytes) -> list[bytes]:
        if not isinstance(body(answer), Renewed):
            return [answer]
        return [rogue.service_key.sign(msgspec.json.decode(answer, type=Signed).body)]

    return tamper


def _replayed(wire: Wire, _: Path) -> Tamper:
    first: list[bytes] = []

    def tamper(answer: bytes) -> list[bytes]:
        if isinstance(body(answer), Renewed):
            first.append(answer)
            return [first[0]]
        return [answer]

    return tamper


def _twisted(wire: Wire, _: Path) -> Tamper:
    def tamper(answer: bytes) -> list[bytes]:
        if not isinstance(body(answer), Renewed):
            return [answer]
        signed = msgspec.json.decode(answer, type=Signed)
        flipped = bytes([signed.body[0], signed.body[1] ^ 1]) + signed.body[2:]
        return [msgspec.json.encode(Signed(flipped, signed.signature))]

    return tamper


@pytest.mark.parametrize(
    ("attack", "renewals"),
    [
        (_forged, 0),
        (_replayed, 1),
        (_twisted, 0),
        (lambda wire, _: resigned(wire, Renewed, renews="another"), 0),
        (lambda wire, _: resigned(wire, Renewed, nonce=bytes(32)), 0),
        (lambda wire, _: resigned(wire, Renewed, session=bytes(16)), 0),
        (lambda wire, _: resigned(wire, Renewed, manifest_digest="00" * 32), 0),
        (lambda wire, _: resigned(wire, Renewed, lease=Lease(5, 4, 4)), 0),
        (lambda wire, _: resigned(wire, messages.Challenge, service_key_id="0" * 32), 0),
        (lambda wire, _: lambda answer: [b"{}"], 0),
    ],
    ids=[
        *("forged", "replayed", "twisted", "another decision", "another nonce"),
        *("another session", "another model", "no length", "another service", "garbage"),
    ],
)
def test_what_is_not_an_answer_to_this_try_renews_nothing(
    wire: Wire, tmp_path: Path, attack: Callable[[Wire, Path], Tamper], renewals: int
) -> None:
    wire.tamper = attack(wire, tmp_path)
    end = wire.lease.end + renewals * (SECONDS - GRACE)
    assert wire.ends() == "keeper.lease_over"
    assert wire.now < end + 1 + STEP * 4
    assert wire.now >= wire.granted_until


@pytest.mark.parametrize(
    "said",
    [
        struct.pack(">I", 2**31),
        struct.pack(">I", 0),
        framing.encode(b"{}", 10) * 2,
        framing.encode(b"{}", 10) + b"\0\0",
    ],
    ids=["giant", "empty", "two answers", "the beginning of a second"],
)
def test_a_stream_that_breaks_the_rules_is_not_heard_again(wire: Wire, said: bytes) -> None:
    end = wire.lease.end
    wire.run(SECONDS - GRACE, answering=False)
    wire.service.sendall(said)
    wire.run(STEP, answering=False)
    assert wire.lease.events == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(wire.lease.descriptor)
    assert wire.ends(answering=False) == "keeper.lease_over"
    assert wire.at_its_end(end)


# --- what is large -------------------------------------------------------------------------------


def test_large_evidence_goes_out_in_pieces_and_never_blocks(tmp_path: Path) -> None:
    """A megabyte of evidence through a small socket: each turn writes what there is room for."""

    class Large(LocalAttester):
        large = False

        def devices(self, nonce: bytes) -> bytes:
            return b" " * 1_000_000 if self.large else b""

    large = Large(CONFIGURATION)
    wire = Wire(tmp_path, attester=large)
    large.large = True
    wire.run(SECONDS - GRACE + STEP)
    assert wire.lease.events & select.POLLOUT

    def until_answered() -> None:
        for _ in range(500):
            wire.lease.look()
            wire.answer()

    with pytest.raises(KeyRefused, match="bundle_form"):  # it is no evidence of devices
        until_answered()
    assert [msgspec.json.decode(each)["type"] for each in wire.asked][:2] == ["ask", "renew"]
    sent = msgspec.json.decode(wire.asked[1], type=Renew)
    assert len(sent.additional) == 1_000_000


# --- the loop's other parts ----------------------------------------------------------------------


class Endless:
    """A session in which something always runs."""

    busy = True

    def __init__(self) -> None:
        self.stepped = 0

    def receive(self, frame: ToKeeper) -> list[ToGateway]:
        return []

    def step(self) -> list[ToGateway]:
        self.stepped += 1
        return [Tokens(1, (self.stepped,))]


class Unwatched:
    def look(self) -> None:
        return


def drained(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""
