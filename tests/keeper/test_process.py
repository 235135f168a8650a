"""A real keeper process, from its start to its end, with the test as its gateway."""

from __future__ import annotations

import signal
import struct
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.artifact.policy import DisclosurePolicy, EgressCeiling
from strongroom.boundary import charging
from strongroom.boundary.frames import (
    PROTOCOL,
    AskStatus,
    Cancel,
    Classify,
    Done,
    Fault,
    Generate,
    Hello,
    Refused,
    Sampling,
    Status,
    Tokens,
)
from strongroom.keeper.lockdown import WALLS
from strongroom.keeper.process import STANDARD_ERROR
from strongroom.release.policies.document import Leasing
from strongroom.release.policies.embedded import embedded
from strongroom.store.lineage import Revocation, open_lineage_store

from .tiny import CONTEXT, VOCABULARY, parameters, write_tiny_llama
from .world import PATIENCE, Home, RunningKeeper, keeper

GREEDY = Sampling(temperature=0.0)
POLICY = DisclosurePolicy(rungs={"*": "text", "rich": "topk", "shut": "closed"})


def make_home(folder: Path, policy: DisclosurePolicy = POLICY) -> Home:
    return Home.make(folder, write_tiny_llama(folder / "plain"), policy)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def served(shared_home: Home) -> Iterator[tuple[RunningKeeper, Hello]]:
    with keeper(shared_home) as running:
        yield running, running.greeting()


@pytest.fixture
def running(served: tuple[RunningKeeper, Hello]) -> RunningKeeper:
    return served[0]


def generate(job: int, **fields: Any) -> Generate:
    given = {"id": job, "tenant": "acme", "tokens": (5, 6, 7), "max_tokens": 5, "sampling": GREEDY}
    return Generate(**{**given, **fields})


def tokens_of(frames: list[Any], job: int) -> tuple[int, ...]:
    return sum((f.tokens for f in frames if isinstance(f, Tokens) and f.id == job), ())


def refusal(running: RunningKeeper) -> str:
    frame = running.receive()
    assert isinstance(frame, Refused), frame
    return frame.code


def test_the_greeting_says_what_is_served_and_what_it_means(
    served: tuple[RunningKeeper, Hello],
) -> None:
    hello = served[1]
    assert hello.protocol == PROTOCOL
    assert (hello.card.model_id, hello.card.release) == ("tiny", 1)
    assert (hello.card.vocab_size, hello.card.context_length) == (VOCABULARY, CONTEXT)
    assert hello.card.rungs == {"*": "text", "rich": "topk", "shut": "closed"}
    assert hello.card.tokenizer == b'{"version": "1.0"}'
    assert hello.card.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert set(WALLS) <= set(hello.walls)
    assert all(hello.walls.values())
    assert f"{parameters():,} parameters" in hello.egress


def test_a_generation_is_answered_and_repeats(running: RunningKeeper) -> None:
    running.send(generate(1))
    first = running.until(Done)
    running.send(generate(2))
    second = running.until(Done)
    assert tokens_of(first, 1) == tokens_of(second, 2)
    assert first[-1].completion_tokens == len(tokens_of(first, 1))
    assert first[-1].prompt_tokens == 3


def test_generations_run_side_by_side(running: RunningKeeper) -> None:
    alone = {}
    for job, start_at in ((11, 20), (12, 40), (13, 60)):
        running.send(generate(job, tokens=(start_at, start_at + 1), max_tokens=12))
        alone[job] = tokens_of(running.until(Done), job)
    running.send(
        *(generate(j, tokens=(t, t + 1), max_tokens=12) for j, t in ((21, 20), (22, 40), (23, 60)))
    )
    frames = [*running.until(Done), *running.until(Done), *running.until(Done)]
    assert {job + 10: tokens_of(frames, job + 10) for job in alone} == {
        job + 10: tokens for job, tokens in alone.items()
    }


def test_logprobs_are_refused_where_the_sealed_policy_does_not_grant_them(
    running: RunningKeeper,
) -> None:
    running.send(generate(31, top_logprobs=1))
    assert refusal(running) == "keeper.logprobs_not_granted"
    running.send(generate(32, tenant="shut"))
    assert refusal(running) == "keeper.closed"


def test_logprobs_are_given_where_it_does(running: RunningKeeper) -> None:
    running.send(generate(41, tenant="rich", top_logprobs=3))
    frames = running.until(Done)
    assert all(len(frame.scores[0].ids) == 3 for frame in frames[:-1])
    assert all(frame.scores[0].ids[0] == frame.tokens[0] for frame in frames[:-1])  # greedy


def test_requests_that_do_not_fit_the_model_are_refused(running: RunningKeeper) -> None:
    running.send(generate(51, tokens=(VOCABULARY,)))
    assert refusal(running) == "keeper.token_unknown"
    running.send(generate(52, tokens=(1,) * CONTEXT))
    assert refusal(running) == "keeper.too_long"
    running.send(Classify(53, "acme", "F32", (1, 4), bytes(16)))
    assert refusal(running) == "keeper.wrong_kind"


def test_ids_in_use_and_unknown_ids(running: RunningKeeper) -> None:
    running.send(generate(61, max_tokens=100), generate(61), Cancel(999))
    frames = running.until(Refused)
    assert frames[-1].code == "keeper.id_in_use"
    running.send(Cancel(61))
    done = running.until(Done)[-1]
    assert done.id == 61
    assert done.reason in {"cancelled", "stop", "length"}


def test_status_counts_what_left(running: RunningKeeper) -> None:
    running.send(AskStatus())
    before = running.until(Status)[-1]
    running.send(generate(71))
    done = running.until(Done)[-1]
    running.send(AskStatus())
    after = running.until(Status)[-1]
    positions = done.completion_tokens + (done.reason == "stop")
    assert after.egress_bits_hour - before.egress_bits_hour == 3 + 8 * positions
    assert (after.active, after.waiting) == (0, 0)


def test_it_ends_orderly_when_the_gateway_hangs_up(tmp_path: Path) -> None:
    with keeper(make_home(tmp_path)) as running:
        running.greeting()
        running.send(generate(1, max_tokens=100))
        running.boundary.close()
        assert running.end() == (0, None)


@pytest.mark.slow
def test_a_signal_ends_it_orderly(shared_home: Home, tmp_path: Path) -> None:
    shared_home.changes = {"keeper": {"egress_state": str(tmp_path / "egress")}}
    with keeper(shared_home) as running:
        running.greeting()
        running.child.send_signal(signal.SIGTERM)
        assert running.end() == (0, None)


@pytest.mark.slow
def test_a_giant_frame_ends_it_with_an_error(shared_home: Home, tmp_path: Path) -> None:
    shared_home.changes = {"keeper": {"egress_state": str(tmp_path / "egress")}}
    with keeper(shared_home) as running:
        running.greeting()
        running.boundary.sendall(struct.pack(">I", 2**31))
        status, error = running.end()
    assert status == 7
    assert error is not None
    assert error["error"] == "framing.oversized"


@pytest.mark.slow
def test_the_budget_binds_over_kill_nine_and_a_sealed_ceiling_over_the_configuration(
    tmp_path: Path,
) -> None:
    token = charging.token_charge(VOCABULARY) // charging.GRAINS_PER_BIT
    ceiling = EgressCeiling(3 + 4 * token, 10**9)
    home = make_home(tmp_path, DisclosurePolicy(tenant=ceiling))
    with keeper(home) as running:
        assert f"one tenant {3 + 4 * token} bits an hour" in running.greeting().egress
        running.send(generate(1, max_tokens=50))
        frames = running.until(Done)
        assert len(tokens_of(frames, 1)) == frames[-1].completion_tokens == 4
        assert frames[-1].reason == "egress"
        running.send(generate(2))
        assert refusal(running) == "keeper.egress_exhausted"
        running.child.send_signal(signal.SIGKILL)
        running.child.wait()
    with keeper(home) as running:
        running.greeting()
        running.send(generate(3), generate(4, tenant="other", max_tokens=1))
        assert refusal(running) == "keeper.egress_exhausted"
        assert running.until(Done)[-1].id == 4


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"required_walls": ["moat"]}, 6, "keeper.wall_unknown"),
        ({"egress_state": "/nonexistent/egress"}, 5, "keeper.egress_state_unusable"),
        ({"signers": []}, 3, "artifact.signer_unknown"),
    ],
)
def test_what_does_not_fit_is_not_served(
    shared_home: Home, tmp_path: Path, changes: dict[str, Any], status: int, code: str
) -> None:
    shared_home.changes = {"keeper": {"egress_state": str(tmp_path / "egress"), **changes}}
    with keeper(shared_home) as running:
        with pytest.raises(EOFError):
            running.receive()
        exit_code, error = running.end()
    assert exit_code == status
    assert error is not None
    assert error["error"] == code
    assert error["action"]


PROBED = """
    import json, os, select, sys
    from strongroom.keeper import __main__, process

    def open_descriptors():
        '''Behind the walls: poll(2) says of each number whether there is a descriptor.'''
        found = []
        for number in range(4096):
            poll = select.poll()
            poll.register(number, 0)
            if not any(events & select.POLLNVAL for _, events in poll.poll(0)):
                found.append(number)
        return found

    serve = process.serve
    def probing(channel, session, patrol, lease, stop):
        kept = {"boundary": channel.descriptor, "release": lease.descriptor}
        os.write(2, json.dumps({"open": open_descriptors(), **kept}).encode() + b"\\n")
        serve(channel, session, patrol, lease, stop)
    process.serve = probing

    before = open_descriptors()
    os.write(2, json.dumps({"before": before}).encode() + b"\\n")
    sys.argv = ["keeper", "--config-fd", sys.argv[1]]
    os._exit(__main__.main())
"""


@pytest.mark.slow
def test_it_renews_its_lease_behind_its_walls_until_its_model_is_revoked(
    shared_home: Home, tmp_path: Path
) -> None:
    """Asks again a second after the last time; a revocation is felt at the next."""
    lineage = str(tmp_path / "lineage.sqlite")
    policy = embedded(lease=Leasing(seconds=60, grace=59))
    shared_home.changes = {
        "keeper": {"egress_state": str(tmp_path / "egress")},
        "release": {"policy": policy, "lineage": {"store": lineage}, "once": True},
    }
    with (
        keeper(shared_home, ["-c", textwrap.dedent(PROBED)]) as running,
        open_lineage_store(lineage) as store,
    ):
        assert running.greeting().walls["seccomp"] == "on"
        wait_for(lambda: running.release.outcomes().count("renewed") >= 3)
        running.send(generate(1))
        assert running.until(Done)[-1].reason in {"stop", "length"}
        store.revoke(Revocation("tiny", 0, "", "leaked", "ada", 1))
        *_, last = running.until(Fault)
        assert last.code == "keeper.lease_refused"
        with pytest.raises(EOFError):
            running.receive()
        status, error = running.end()
    assert status == 4
    assert error is not None
    assert error["error"] == "keeper.lease_refused"
    assert "release.revoked" in error["message"]
    decided = running.release.decisions
    assert decided[0]["outcome"] == "released"
    assert {each["outcome"] for each in decided[1:-1]} == {"renewed"}
    assert {each["renews"] for each in decided[1:]} == {decided[0]["decision"]}
    assert (decided[-1]["outcome"], decided[-1]["reason"]) == ("refused", "release.revoked")
    before, behind = running.said[:2]
    expected = {STANDARD_ERROR, behind["boundary"], behind["release"]}
    assert set(behind["open"]) == expected
    assert set(before["before"]) > expected  # positive control: the probe sees what is there


def wait_for(seen: Callable[[], bool]) -> None:
    """Until ``seen``; a test fails if it never is."""
    until = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.05)
