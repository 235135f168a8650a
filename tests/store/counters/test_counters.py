"""What every counter store promises, asked of each of them. The rules are those of store/limits."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.errors import ConfigurationRefused
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.limits import (
    LARGEST,
    MINUTE_US,
    NOTHING,
    RESOURCES,
    Amounts,
    Cost,
    Denied,
    Granted,
    Limits,
    Subject,
)

from .conftest import Time, World


def org(limits: Limits) -> Subject:
    return Subject("organisation", "acme", limits)


def key(limits: Limits) -> Subject:
    return Subject("key", "k1", limits)


ONE = Cost(requests=1)
TOKENS = Cost(requests=1, input_tokens=10, output_tokens=100, compute_ms=5, egress_millibits=1600)


def test_a_reservation_holds_its_worst_until_it_is_settled(world: World) -> None:
    counters = world.open()
    payer = org(Limits(total=Amounts(output_tokens=150)))
    assert isinstance(world.run(counters.reserve("a", [payer], TOKENS)), Granted)
    refused = world.run(counters.reserve("b", [payer], TOKENS))
    assert isinstance(refused, Denied)
    assert refused[:6] == ("organisation", "output_tokens", "total", 150, 50, 1_000_000)
    assert world.run(counters.settle("a", Cost(1, 10, 30), final=True))
    assert isinstance(world.run(counters.reserve("b", [payer], TOKENS)), Granted)
    used = world.run(counters.usage(payer))
    assert used.total == Cost(1, 10, 30)
    assert used.held == TOKENS
    assert used.concurrent == 1


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("window", ["minute", "day", "total"])
@pytest.mark.parametrize("kind", ["organisation", "key"])
def test_every_limit_holds_to_the_unit(world: World, resource: str, window: str, kind: str) -> None:
    counters = world.open()
    limited = Limits(**{window: Amounts(**{resource: 10})})
    payers = [org(Limits()), key(Limits())]
    payers[kind == "key"] = payers[kind == "key"]._replace(limits=limited)
    step = NOTHING._replace(**{resource: 1})
    for number in range(10):
        assert isinstance(world.run(counters.reserve(f"{number}", payers, step)), Granted)
        assert world.run(counters.settle(f"{number}", step, final=True))
    refused = world.run(counters.reserve("more", payers, step))
    assert isinstance(refused, Denied)
    assert (refused.subject, refused.limit, refused.remaining) == (kind, 10, 0)
    assert refused.resource == resource or (resource == "requests" and window == "minute")
    if window == "total":
        assert refused.retry_after_us is None
    else:
        assert refused.retry_after_us is not None
        world.time.now += refused.retry_after_us - 1
        assert isinstance(world.run(counters.reserve("more", payers, step)), Denied)
        world.time.now += 1
        assert isinstance(world.run(counters.reserve("more", payers, step)), Granted)


def test_all_or_nothing(world: World) -> None:
    counters = world.open()
    rich, poor = org(Limits()), key(Limits(day=Amounts(input_tokens=5)))
    assert isinstance(world.run(counters.reserve("a", [rich, poor], TOKENS)), Denied)
    for payer in (rich, poor):
        assert world.run(counters.usage(payer)) == (NOTHING, NOTHING, NOTHING, NOTHING, 0)


def test_a_request_that_can_never_fit_is_told_so(world: World) -> None:
    counters = world.open()
    payer = org(Limits(minute=Amounts(output_tokens=99)))
    refused = world.run(counters.reserve("a", [payer], TOKENS))
    assert isinstance(refused, Denied)
    assert (refused.retry_after_us, refused.remaining) == (None, 99)


def test_concurrent_requests(world: World) -> None:
    counters = world.open()
    payer = org(Limits(concurrent=2))
    for name in "ab":
        assert isinstance(world.run(counters.reserve(name, [payer], ONE)), Granted)
    refused = world.run(counters.reserve("c", [payer], ONE))
    assert isinstance(refused, Denied)
    assert (refused.resource, refused.limit, refused.remaining) == ("concurrent", 2, 0)
    assert world.run(counters.settle("a", ONE, final=False))
    assert isinstance(world.run(counters.reserve("c", [payer], ONE)), Denied)
    assert world.run(counters.settle("a", ONE, final=True))
    assert isinstance(world.run(counters.reserve("c", [payer], ONE)), Granted)


def test_gcra_spaces_what_comes_after_the_burst(world: World) -> None:
    counters = world.open()
    payer = org(Limits(minute=Amounts(requests=60), burst=3))
    for number in range(3):
        assert isinstance(world.run(counters.reserve(f"{number}", [payer], ONE)), Granted)
    refused = world.run(counters.reserve("d", [payer], ONE))
    assert isinstance(refused, Denied)
    assert (refused.resource, refused.limit, refused.retry_after_us) == ("burst", 3, 1_000_000)
    world.time.pass_seconds(0.999999)
    assert isinstance(world.run(counters.reserve("d", [payer], ONE)), Denied)
    world.time.pass_seconds(0.000001)
    assert isinstance(world.run(counters.reserve("d", [payer], ONE)), Granted)
    assert isinstance(world.run(counters.reserve("e", [payer], ONE)), Denied)


def test_streams_settle_as_they_go_and_never_twice(world: World) -> None:
    counters = world.open()
    payer = org(Limits(minute=Amounts(output_tokens=1000)))
    world.run(counters.reserve("a", [payer], TOKENS))
    for tokens in (10, 30, 30, 20):
        assert world.run(counters.settle("a", Cost(1, 10, tokens), final=False))
    used = world.run(counters.usage(payer))
    assert used.minute.output_tokens == 30
    assert used.held.output_tokens == 70
    for known in (True, False, False):
        assert world.run(counters.settle("a", Cost(1, 10, 40), final=True)) is known
    used = world.run(counters.usage(payer))
    assert used == (Cost(1, 10, 40), Cost(1, 10, 40), Cost(1, 10, 40), NOTHING, 0)


def test_what_was_reserved_too_low_is_charged_all_the_same(world: World) -> None:
    counters = world.open()
    payer = org(Limits(total=Amounts(output_tokens=100)))
    world.run(counters.reserve("a", [payer], TOKENS))
    world.run(counters.settle("a", Cost(1, 10, 130), final=False))
    world.run(counters.settle("a", Cost(1, 10, 140), final=True))
    used = world.run(counters.usage(payer))
    assert used.total.output_tokens == 140
    assert used.held == NOTHING
    refused = world.run(counters.reserve("b", [payer], Cost(output_tokens=1)))
    assert isinstance(refused, Denied)
    assert refused.remaining == 0


def test_what_a_crash_left_stays_held_until_it_is_given_back(world: World) -> None:
    first = world.open()
    payers = [org(Limits(total=Amounts(output_tokens=120), concurrent=1)), key(Limits())]
    world.run(first.reserve("a", payers, TOKENS))
    world.run(first.settle("a", Cost(1, 10, 20), final=False))
    second = world.open()  # another process, after the first one died
    world.time.pass_seconds(10 * 86400)
    assert isinstance(world.run(second.reserve("b", payers, ONE)), Denied)
    assert world.run(second.give_back("a"))
    assert not world.run(second.give_back("a"))
    assert not world.run(second.give_back("never"))
    used = world.run(second.usage(payers[0]))
    assert (used.total, used.held, used.concurrent) == (Cost(1, 10, 20), NOTHING, 0)
    assert isinstance(world.run(second.reserve("b", payers, TOKENS)), Granted)


def test_an_id_is_used_once_at_a_time(world: World) -> None:
    counters = world.open()
    world.run(counters.reserve("a", [org(Limits())], TOKENS))
    with pytest.raises(ConfigurationRefused) as caught:
        world.run(counters.reserve("a", [org(Limits())], TOKENS))
    assert caught.value.code == "limits.duplicate_request"
    assert world.run(counters.usage(org(Limits()))).held == TOKENS


def test_a_clock_set_back_gives_nothing_back(world: World) -> None:
    counters = world.open()
    payer = org(Limits(minute=Amounts(requests=2)))
    for name in "ab":
        world.run(counters.reserve(name, [payer], ONE))
        world.run(counters.settle(name, ONE, final=True))
    world.time.pass_seconds(-86400)
    assert isinstance(world.run(counters.reserve("c", [payer], ONE)), Denied)
    world.time.pass_seconds(86400 + 59)
    assert isinstance(world.run(counters.reserve("c", [payer], ONE)), Denied)
    world.time.pass_seconds(2)
    assert isinstance(world.run(counters.reserve("c", [payer], ONE)), Granted)


def test_a_changed_limit_counts_at_once(world: World) -> None:
    counters = world.open()
    for name in "abc":
        world.run(counters.reserve(name, [org(Limits())], ONE))
        world.run(counters.settle(name, ONE, final=True))
    lower = org(Limits(total=Amounts(requests=2)))
    refused = world.run(counters.reserve("d", [lower], ONE))
    assert isinstance(refused, Denied)
    assert (refused.remaining, refused.retry_after_us) == (0, None)
    higher = org(Limits(total=Amounts(requests=4)))
    assert isinstance(world.run(counters.reserve("d", [higher], ONE)), Granted)


def test_the_largest_amounts_stay_exact(world: World) -> None:
    counters = world.open()
    payer = org(Limits(total=Amounts(egress_millibits=LARGEST)))
    world.run(counters.reserve("a", [payer], Cost(egress_millibits=LARGEST - 1)))
    world.run(counters.settle("a", Cost(egress_millibits=LARGEST - 1), final=True))
    assert isinstance(world.run(counters.reserve("b", [payer], Cost(egress_millibits=2))), Denied)
    assert isinstance(world.run(counters.reserve("b", [payer], Cost(egress_millibits=1))), Granted)
    assert world.run(counters.usage(payer)).total.egress_millibits == LARGEST - 1


def test_standings_tell_the_tightest_limit(world: World) -> None:
    counters = world.open()
    payers = [
        org(Limits(minute=Amounts(requests=100), day=Amounts(requests=150))),
        key(Limits(minute=Amounts(requests=50, output_tokens=1000))),
    ]
    granted = world.run(counters.reserve("a", payers, TOKENS))
    told = {standing.resource: standing for standing in granted.standings}
    assert (told["requests"].limit, told["requests"].remaining) == (50, 49)
    assert (told["output_tokens"].limit, told["output_tokens"].remaining) == (1000, 900)
    assert told["requests"].reset_us == 121 * 500_000
    assert "egress_millibits" not in told


def test_many_at_once_never_overshoot(world: World) -> None:
    counters = world.open()
    payers = [
        org(Limits(total=Amounts(requests=200, output_tokens=4000, egress_millibits=64_000))),
        key(Limits(concurrent=10)),
    ]
    spent, most = [0, 0], 0

    async def one(number: int) -> None:
        nonlocal most
        for attempt in range(6):
            name = f"{number}-{attempt}"
            if isinstance(await counters.reserve(name, payers, TOKENS), Granted):
                await asyncio.sleep(0)
                actual = Cost(1, 10, 10 + (7 * number + attempt) % 91, 5, 1000)
                spent[0] += actual.requests
                spent[1] += actual.output_tokens
                most = max(most, (await counters.usage(payers[1])).concurrent)
                await counters.settle(name, actual, final=True)
            else:
                await asyncio.sleep(0.001)

    async def everybody() -> None:
        await asyncio.gather(*(one(number) for number in range(60)))

    world.run(everybody())
    used = world.run(counters.usage(payers[0]))
    assert used.total.requests == spent[0] <= 200
    assert used.total.output_tokens == spent[1] <= 4000
    assert used.total.egress_millibits <= 64_000
    assert used.held == NOTHING
    assert 1 < most <= 10


# --- any interleaving ------------------------------------------------------------------------

AMOUNT = st.integers(0, 40)
LIMIT = st.none() | st.integers(0, 60)
AMOUNTS = st.builds(Amounts, LIMIT, LIMIT, LIMIT, LIMIT, LIMIT)
LIMITS = st.builds(
    Limits, AMOUNTS, AMOUNTS, AMOUNTS, st.none() | st.integers(0, 5), st.none() | st.integers(1, 9)
)
COST = st.builds(Cost, st.integers(0, 2), AMOUNT, AMOUNT, AMOUNT, AMOUNT)
PART = st.tuples(*[st.integers(0, 100)] * 5)
STEP = st.one_of(
    st.tuples(st.just("reserve"), st.integers(0, 7), COST),
    st.tuples(st.just("settle"), st.integers(0, 7), PART, st.booleans()),
    st.tuples(st.just("give back"), st.integers(0, 7)),
    st.tuples(st.just("time"), st.integers(-5_000_000, 40_000_000)),
    st.tuples(st.just("time"), st.sampled_from([3_600_000_000, 43_200_000_000])),
)


def play(world: World, steps: list[tuple], payers: list[Subject]) -> list[object]:
    """What every step answered, and every spending with its instant."""
    counters = world.open()
    worsts: dict[str, Cost] = {}
    said: list[object] = []
    for step in steps:
        if step[0] == "time":
            world.time.now += step[1]
            continue
        name = f"r{step[1]}"
        if step[0] == "reserve" and name not in worsts:
            answer = world.run(counters.reserve(name, payers, step[2]))
            said.append(answer.standings if isinstance(answer, Granted) else answer)
            if isinstance(answer, Granted):
                worsts[name] = step[2]
        elif step[0] == "settle":
            worst = worsts.get(name, NOTHING)
            actual = Cost(*(w * p // 100 for w, p in zip(worst, step[2], strict=True)))
            said.append(world.run(counters.settle(name, actual, final=step[3])))
            if step[3]:
                worsts.pop(name, None)
        elif step[0] == "give back":
            said.append(world.run(counters.give_back(name)))
            worsts.pop(name, None)
        said += [world.run(counters.usage(payer)) for payer in payers]
    return said


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limits=LIMITS, inner=LIMITS, steps=st.lists(STEP, max_size=40))
def test_redis_and_memory_agree_on_everything(
    shared: World, limits: Limits, inner: Limits, steps: list[tuple]
) -> None:
    payers = [org(limits), key(inner)]
    one, other = World("memory"), World("redis", shared.url)
    try:
        assert play(one, steps, payers) == play(other, steps, payers)
    finally:
        one.close()
        other.close()


@settings(max_examples=300, deadline=None)
@given(limits=LIMITS, steps=st.lists(STEP, max_size=60))
def test_no_window_ever_exceeds_its_limit(limits: Limits, steps: list[tuple]) -> None:
    """Reckoned here anew, from the instants of spending, for every window that ends at one."""
    world = World("memory")
    world.time = Time()
    log: list[tuple[int, Cost]] = []

    class Watching(MemoryCounters):
        async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
            before = (await self.usage(payer)).total
            done = await super().settle(request_id, actual, final=final)
            after = (await self.usage(payer)).total
            moved = Cost(*(new - old for old, new in zip(before, after, strict=True)))
            assert min(moved) >= 0
            log.append((world.time.now, moved))
            return done

    payer = org(limits)
    # Instants as the counters see them: time that is set back stands still.
    forward = [s if s[0] != "time" else ("time", max(0, s[1])) for s in steps]
    world.opened = [Watching(world.time)]
    play(world, forward, [payer])
    world.close()
    for window, length in (("minute", MINUTE_US), ("day", 1440 * MINUTE_US), ("total", 10**18)):
        for resource, name in enumerate(RESOURCES):
            limit = getattr(getattr(limits, window), name)
            for end, _ in log if limit is not None else ():
                inside = sum(c[resource] for at, c in log if end - length < at <= end)
                assert inside <= limit


def test_a_steady_flow_can_use_nearly_all_of_a_minutes_limit() -> None:
    world = World("memory")
    counters = world.open()
    payer = org(Limits(minute=Amounts(requests=600, output_tokens=6000)))
    granted = 0
    for number in range(20 * 60 * 20):  # twenty minutes, twenty attempts a second
        world.time.pass_seconds(0.05)
        answer = world.run(counters.reserve(f"{number}", [payer], Cost(1, 0, 12)))
        if isinstance(answer, Granted):
            granted += 1
            world.run(counters.settle(f"{number}", Cost(1, 0, 10), final=True))
    world.close()
    assert 0.98 * 600 * 20 <= granted <= 600 * 20
