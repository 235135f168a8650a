"""Counters for replicas, in Valkey or Redis (the extra ``redis``), version 5 or later.

A reservation is one script in one round trip, and so is a settlement: between reading and writing
nobody else is served, which is what makes "never over" hold for any number of replicas.

**Whose time.** The server's (``TIME`` inside the script). Were each gateway to pass its own, one
whose clock runs an hour ahead would have every window forgotten for all. ``clock`` is for tests,
which move time at will.

**When the store is gone**, a reservation is refused (``limits.store_unavailable``); nothing is ever
granted on a guess. A reservation whose answer was lost is given back as soon as the store is
there again, and settlements that could not be sent are sent then: until then too much is held.

**When the store forgot** (flushed, or restarted without its file), every reservation is refused
(``limits.store_forgot``): an empty store would let everybody spend their budgets again. ``begin``
marks a new one, once; ``docs/limits.md`` says what to do after a loss. A replica that took over
may lack the last moments before its primary failed: replication of Redis is asynchronous.

All keys begin with one prefix that holds a hash tag, so they lie in one slot of a cluster.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.store.counters.account import Account, Window, denied, granted
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.lanes import pack
from strongroom.store.counters.memory import Clock, duplicate
from strongroom.store.limits import (
    NOTHING,
    Cost,
    Denied,
    Granted,
    Limits,
    Subject,
    Usage,
    rules,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT_SECONDS: Final = 2.0
_HELD_ALREADY, _LOST = -1, -2


class RedisCounters(Counters):
    """See the module.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, so is never shown.
        prefix: of all keys; deployments that share a server have different ones.
        clock: instead of the server's; see the module.

    Raises:
        ConfigurationRefused: ``limits.no_driver``, ``limits.bad_url``.
    """

    def __init__(self, url: str, prefix: str = "{strongroom}:", clock: Clock | None = None) -> None:
        self._redis, self._gone, self._lost = _connect(url)
        self._prefix = prefix.encode()
        self._clock = clock
        self._reserve = self._script("reserve")
        self._settle = self._script("settle")
        self._usage = self._script("usage")
        self._unsent: dict[str, tuple[Cost, bool]] = {}

    def _script(self, name: str) -> Any:
        here = files("strongroom.store.counters")
        common, own = ((here / f"{part}.lua").read_text() for part in ("common", name))
        return self._redis.register_script(common + own)

    async def begin(self) -> None:
        """Mark a store that never counted before. Only for its very first start."""
        try:
            await self._redis.setnx(self._prefix + b"begun", 1)
        except self._gone as error:
            _unavailable(error)

    async def reserve(
        self, request_id: str, subjects: Sequence[Subject], worst: Cost
    ) -> Granted | Denied:
        """See ``Counters``."""
        arguments: list[object] = [self._prefix, self._now(), request_id, *worst]
        for subject in subjects:
            arguments += (_name(subject), *_numbers(subject.limits))
        try:
            await self._send_unsent()
            try:
                answer = await self._reserve(args=arguments)
            except self._lost:  # it may have been a connection from before a restart
                answer = await self._reserve(args=arguments)
                if answer[0] == _HELD_ALREADY:
                    return Granted()  # by the first attempt
        except self._gone as error:
            self._remember(request_id, NOTHING, final=True)
            _unavailable(error)
        except asyncio.CancelledError:
            self._remember(request_id, NOTHING, final=True)
            raise
        return _decided(request_id, subjects, worst, answer)

    async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
        """See ``Counters``."""
        earlier = self._unsent.pop(request_id, (NOTHING, False))
        actual, final = Cost(*map(max, actual, earlier[0])), final or earlier[1]
        try:
            return await self._send(request_id, actual, final)
        except self._gone:
            self._remember(request_id, actual, final=final)
            return True
        except asyncio.CancelledError:
            self._remember(request_id, actual, final=final)
            raise

    async def give_back(self, request_id: str) -> bool:
        """See ``Counters``; ``limits.store_unavailable``."""
        try:
            return await self._send(request_id, NOTHING, True)
        except self._gone as error:
            _unavailable(error)

    async def held(self, prefix: str) -> dict[str, Cost]:
        """See ``Counters``. Looks through all keys of the server: not for the request path."""
        start = self._prefix + b"r:"
        wanted = start + prefix.encode()
        found = {}
        try:
            async for key in self._redis.scan_iter(_literally(wanted) + b"*", count=1000):
                packed: Any = await self._redis.get(key)
                if packed is not None:
                    worst, *_ = msgspec.msgpack.decode(packed)
                    found[key[len(start) :].decode()] = Cost(*worst)
        except self._gone as error:
            _unavailable(error)
        return found

    async def usage(self, subject: Subject) -> Usage:
        """See ``Counters``."""
        rate = subject.limits.minute.requests
        arguments = (self._prefix, self._now(), _name(subject), -1 if rate is None else rate)
        try:
            try:
                state = await self._usage(args=arguments)
            except self._lost:
                state = await self._usage(args=arguments)
        except self._gone as error:
            _unavailable(error)
        if not state:
            _forgot()
        return _account(state).usage()

    async def close(self) -> None:
        """See ``Counters``."""
        await self._redis.aclose()

    async def _send(self, request_id: str, actual: Cost, final: bool) -> bool:
        arguments = (self._prefix, self._now(), request_id, int(final), *actual)
        try:
            return bool(await self._settle(args=arguments))
        except self._lost:
            return bool(await self._settle(args=arguments))

    def _remember(self, request_id: str, actual: Cost, *, final: bool) -> None:
        """Bounded by what was under way: nothing new is granted without the store."""
        self._unsent[request_id] = (actual, final)

    async def _send_unsent(self) -> None:
        for request_id in list(self._unsent):
            actual, final = self._unsent[request_id]
            await self._send(request_id, actual, final)
            self._unsent.pop(request_id, None)

    def _now(self) -> int | str:
        return "" if self._clock is None else self._clock()


_Errors = tuple[type[Exception], ...]


def _connect(url: str) -> tuple[Redis, _Errors, _Errors]:
    """A client that tries once; the errors of a store that is gone, and of a lost connection."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as ConnectionLost
        from redis.exceptions import RedisError
    except ImportError:
        raise ConfigurationRefused(
            "limits.no_driver",
            "Counters in Redis are asked for, but redis-py is not installed.",
            action="Install strongroom[redis].",
        ) from None
    try:
        client = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ConfigurationRefused(
            "limits.bad_url",
            "The address of the counter store is not one.",
            action="Use redis://HOST:PORT/DB, rediss://... or unix://PATH.",
        ) from None
    return client, (RedisError, OSError), (ConnectionLost,)


def _literally(text: bytes) -> bytes:
    """For a pattern of Redis: no character of ``text`` means anything but itself."""
    return re.sub(rb"([*?\[\]^\\-])", rb"\\\1", text)


def _name(subject: Subject) -> str:
    return f"{subject.kind}:{subject.id}"


def _numbers(limits: Limits) -> list[int]:
    """Rate, burst, concurrent and 15 limits as the scripts take them."""
    rate = limits.minute.requests
    table = [-1] * 15
    for window, resource, limit in rules(limits):
        table[5 * window + resource] = limit
    burst = rate if limits.burst is None or rate is None else min(limits.burst, rate)
    first = (rate, burst, limits.concurrent)
    return [*(-1 if number is None else number for number in first), *table]


def _decided(
    request_id: str, subjects: Sequence[Subject], worst: Cost, answer: list[Any]
) -> Granted | Denied:
    status = answer[0]
    if status == _HELD_ALREADY:
        raise duplicate(request_id)
    if status == _LOST:
        _forgot()
    if status:
        return granted(list(zip(subjects, map(_account, answer[1:]), strict=True)))
    parts = zip(answer[1::3], answer[2::3], answer[3::3], strict=True)
    found = denied([(s, _account(*part)) for s, part in zip(subjects, parts, strict=True)], worst)
    if found is None:
        raise EnvironmentLacks(
            "limits.store_disagrees",
            "The counter store refuses what its own numbers allow.",
            action="Check that all gateways and their scripts are of one version.",
        )
    return found


def _account(state: list[int], minute: Sequence[bytes] = (), day: Sequence[bytes] = ()) -> Account:
    """The state that a script answered."""
    account = Account()
    account.now, account.debt, account.concurrent = state[0], state[1], state[2]
    account.total, account.held = pack(state[5:10]), pack(state[10:15])
    account.minute = Window(0, map(_entry, minute), pack(state[15:20]), state[3])
    account.day = Window(1, map(_entry, day), pack(state[20:25]), state[4])
    return account


def _entry(text: bytes) -> tuple[int, int]:
    slot, *amounts = map(int, text.split())
    return slot, pack(amounts)


def _unavailable(error: Exception) -> NoReturn:
    raise EnvironmentLacks(
        "limits.store_unavailable",
        f"The counter store cannot be reached: {type(error).__name__}.",
        action="Check that it runs and that this machine may connect.",
    ) from None


def _forgot() -> NoReturn:
    raise EnvironmentLacks(
        "limits.store_forgot",
        "The counter store has lost what was spent, or was never begun.",
        action="See `When the store forgot` in docs/limits.md.",
    )
