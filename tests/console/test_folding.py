"""What the pages show is what the record says, no more and no less."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from strongroom.console.folding import (
    _COARSE_MS,
    _MOST_SIGNALS,
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Fold,
    Sliding,
)
from strongroom.ledger import entries, release_entries
from strongroom.store.limits import Amounts, Limits

NOW = 1_800_000_000_000
DIGEST = "ab" * 32


def explain(signal: entries.Signal) -> str:
    return f"{signal.detector} saw {signal.score}"


class Log:
    """Feeds a fold, in order."""

    def __init__(self) -> None:
        self.fold = Fold(explain)
        self.index = 0

    def add(self, entry: entries.AnyEntry, at: int = NOW) -> None:
        self.fold.add(entries.decode(entries.encode(entries.Recorded(self.index, at, entry))))
        self.index += 1

    def begin(self, request: str, organisation: str = "Acme", at: int = NOW, **worst: int) -> None:
        self.add(entries.RequestIntent(request, organisation, "0" * 16, "chat", "m", worst), at)

    def end(
        self, request: str, at: int = NOW, outcome: str = "answered", code: str = "", **actual: int
    ) -> None:
        self.add(entries.RequestFinal(request, outcome, actual, code), at)  # type: ignore[arg-type]

    def refuse(self, code: str, organisation: str = "", at: int = NOW, times: int = 1) -> None:
        counts = {"times": times} if times > 1 else {}
        self.add(entries.Refused("r", code, 429, organisation, counts=counts), at)


def test_a_request_is_held_and_then_settled() -> None:
    log = Log()
    limits = Limits(day=Amounts(output_tokens=1000, egress_millibits=50_000), concurrent=4)
    log.begin("a", requests=1, output_tokens=100, egress_millibits=20_000)
    tally = log.fold.tally("Acme")
    uses = {(use.resource, use.window): use.used for use in tally.uses(limits, NOW)}
    assert uses == {("tokens out", "day"): 100, ("egress", "day"): 20, ("requests", "now"): 1}
    log.end("a", requests=1, output_tokens=7, egress_millibits=1500)
    uses = {(use.resource, use.window): use.used for use in tally.uses(limits, NOW)}
    assert uses == {("tokens out", "day"): 7, ("egress", "day"): 1, ("requests", "now"): 0}
    assert tally.used("total", "egress_millibits", NOW) == 1500


def test_what_was_spent_leaves_its_window_but_not_the_total() -> None:
    log = Log()
    log.begin("a", requests=1)
    log.end("a", requests=1)
    tally = log.fold.tally("Acme")
    assert tally.used("minute", "requests", NOW + MINUTE_MS // 2) == 1
    assert tally.used("minute", "requests", NOW + 2 * MINUTE_MS) == 0
    assert tally.used("day", "requests", NOW + DAY_MS // 2) == 1
    assert tally.used("day", "requests", NOW + DAY_MS + 2 * _COARSE_MS) == 0
    assert tally.used("total", "requests", NOW + 9 * DAY_MS) == 1


def test_an_end_without_a_beginning_counts_for_nobody() -> None:
    log = Log()
    log.end("never-begun", requests=1)
    assert log.fold.tallies == {}


@given(st.lists(st.tuples(st.integers(0, 2 * DAY_MS), st.integers(0, 99)), max_size=60))
def test_a_sliding_sum_is_that_of_its_window_to_a_slot(pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    sliding = Sliding(_COARSE_MS, DAY_MS)
    for at, amount in pairs:
        sliding.add(at, amount)
    now = pairs[-1][0] if pairs else 0
    least = sum(amount for at, amount in pairs if at >= now - DAY_MS)
    most = sum(amount for at, amount in pairs if at >= now - DAY_MS - _COARSE_MS)
    assert least <= sliding.sum(now) <= most


def test_refusals_by_reason_and_by_whom() -> None:
    log = Log()
    log.refuse("limits.requests_per_day", "Globex", NOW - 2 * HOUR_MS)
    log.refuse("limits.requests_per_day", "Globex", NOW, times=40)
    log.refuse("limits.requests_per_day", "Acme", NOW)
    log.refuse("gateway.invalid_api_key", "", NOW - 3 * HOUR_MS)
    log.begin("a")
    log.end("a", outcome="failed", code="keeper.egress_exhausted")
    first, *others = log.fold.refusals(NOW)
    assert (first.code, first.hour, first.day) == ("limits.requests_per_day", 41, 42)
    assert first.by == (("Globex", 41), ("Acme", 1))
    assert {each.code for each in others} == {"gateway.invalid_api_key", "keeper.egress_exhausted"}
    assert log.fold.refused_day("Globex", NOW) == 41
    assert log.fold.refused_day("Acme", NOW) == 2
    assert log.fold.refusals(NOW + 2 * DAY_MS) == ()


def test_signals_are_bounded_newest_first_and_of_the_last_week() -> None:
    log = Log()
    for number in range(_MOST_SIGNALS + 5):
        log.add(entries.Signal("grid", "Globex", number, 900, "throttle"), NOW + number)
    signals = log.fold.signals(NOW)
    assert len(signals) == _MOST_SIGNALS
    assert signals[0].explanation == f"grid saw {_MOST_SIGNALS + 4}"
    assert signals[0].action == "The policy slows it down for a while."
    assert log.fold.tally("Globex").signals.sum(NOW) == _MOST_SIGNALS + 5
    assert log.fold.signals(NOW + 8 * DAY_MS) == ()


def test_every_other_kind_of_entry_is_told_in_words() -> None:
    log = Log()
    told: list[entries.AnyEntry] = [
        entries.Switched("organisation", "Globex", False, "ada", "extraction"),
        entries.LimitsChanged("organisation", "Globex", {"requests_day": 24_000}, "ada"),
        entries.KeyChanged("0" * 16, "Globex", "revoked"),
        entries.OrganisationChanged("Globex", "created"),
        entries.PolicyChanged("disclosure", DIGEST),
        release_entries.KeyReleased(
            "d", "k", "hpke", DIGEST, DIGEST, "local", DIGEST, "software", 1_800_003_600, "s"
        ),
        release_entries.KeyRefused("d", "release.stale", DIGEST, "s"),
        release_entries.LeaseRenewed(
            "e", "d", DIGEST, DIGEST, "local", DIGEST, "software", 1_800_007_200, "s"
        ),
        release_entries.LeaseRefused("f", "d", "release.revoked", DIGEST, "s"),
        release_entries.ApprovalGiven("ada", "release", DIGEST),
        release_entries.ApprovalRevoked("ada", "release", DIGEST),
        release_entries.ModelRevoked(0, "acme/tiny", by="cli:ada", remark="leaked"),
        release_entries.DerivationNoted("acme/student", 1, DIGEST, "acme/tiny", 1, DIGEST),
        entries.Committed("watermark_key", DIGEST, "tiny", 1, DIGEST),
        entries.TuningChanged("j", "Globex", "m", DIGEST, DIGEST, "failed", code="tune.diverged"),
        entries.SessionChanged("s", "Globex", "m", DIGEST, "over", 3),
        entries.AdapterReleased(DIGEST, DIGEST, DIGEST, True),
        entries.StudentReleased(DIGEST, DIGEST, DIGEST, False),
    ]
    for number, entry in enumerate(told):
        log.add(entry, NOW + number)
    acts = log.fold.acts()
    assert len(acts) == len(told)
    assert not [act for act in acts if act.what == "recorded"]
    assert acts[-1].what == "switched off"
    assert acts[-1].detail == "organisation Globex: extraction"
    assert acts[-1].by == "ada"
    assert acts[0].what == "student refused"
    assert (acts[2].what, acts[2].detail) == (
        "training session over",
        "s of Globex over m, 3 steps",
    )
    assert (acts[3].what, acts[3].detail) == ("tuning failed", "j of Globex over m: tune.diverged")
    assert log.fold.switched_by == {("organisation", "Globex"): "ada"}
    assert acts[-6].at.tzinfo is UTC
    assert acts[-6].detail == f"k until {datetime.fromtimestamp(1_800_003_600, UTC):%Y-%m-%d %H:%M}"


def test_memory_does_not_grow_with_requests() -> None:
    log = Log()
    chance = random.Random(1)
    for number in range(5000):
        log.begin(f"r{number}", requests=1, output_tokens=10)
        log.end(f"r{number}", NOW + number, requests=1, output_tokens=chance.randrange(10))
    tally = log.fold.tally("Acme")
    assert not log.fold._open
    assert tally.open == 0
    assert set(tally.held.values()) == {0}
    assert all(len(sliding._slots) <= 13 for sliding in tally._minute.values())
