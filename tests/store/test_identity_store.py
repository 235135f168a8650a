"""What every identity store promises, asked of each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.interface import ALL_SCOPES, IdentityStore, KeyRecord, Switch
from strongroom.store.limits import UNLIMITED, Amounts, Limits

from .conftest import Opens

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = KeyRecord("k1", "acme", "laptop", b"d" * 32, NOW, expires_at=NOW + timedelta(days=1))
LIMITS = Limits(
    minute=Amounts(requests=60, output_tokens=2**50), day=Amounts(egress_millibits=7), concurrent=4
)


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationRefused) as caught:
        attempt()
    return caught.value.code.removeprefix("store.")


def test_keys_outlive_the_connection(opens: Opens) -> None:
    first = opens()
    assert first.add_organisation("acme")
    assert not first.add_organisation("acme")
    first.add_key(KEY)
    other = opens()
    [organisation] = other.organisations()
    assert (organisation.name, organisation.limits) == ("acme", UNLIMITED)
    assert abs((organisation.created_at - datetime.now(UTC)).total_seconds()) < 60
    assert organisation.suspended_at is None
    assert other.key("k1") == KEY
    assert other.key("k2") is None
    assert other.keys() == other.keys("acme") == (KEY,)
    assert other.keys("other") == ()


def test_scopes_and_limits_come_back_as_they_went(store: IdentityStore) -> None:
    store.add_organisation("acme")
    narrow = msgspec.structs.replace(KEY, scopes=frozenset({"chat"}), limits=LIMITS)
    store.add_key(narrow)
    none = msgspec.structs.replace(KEY, id="k2", scopes=frozenset())
    store.add_key(none)
    assert store.key("k1") == narrow
    assert store.key("k2") == none
    assert store.set_key_limits("k2", LIMITS).limits == LIMITS
    assert store.set_key_limits("k1", UNLIMITED).scopes == {"chat"}
    store.set_organisation_limits("acme", LIMITS)
    found = store.organisation("acme")
    assert found is not None
    assert found.limits == LIMITS
    assert store.organisation("other") is None


def test_others_see_a_change_and_its_number(opens: Opens) -> None:
    one, other = opens(), opens()
    before = other.changes()
    seen = {before}
    steps: list[Callable[[], object]] = [
        lambda: one.add_organisation("acme"),
        lambda: one.add_key(KEY),
        lambda: one.revoke_key("k1", NOW),
        lambda: one.set_key_limits("k1", LIMITS),
        lambda: one.set_organisation_limits("acme", LIMITS),
        lambda: one.switch_off(Switch("tenant", "acme", NOW)),
        lambda: one.switch_on("tenant", "acme"),
        lambda: one.begin_counting(),
    ]
    for number, step in enumerate(steps, 1):
        step()
        assert other.changes() not in seen
        seen.add(other.changes())
        assert len(seen) == number + 1
    revoked = other.key("k1")
    assert revoked is not None
    assert revoked.revoked_at == NOW
    assert max(seen) == other.changes()


def test_a_revocation_is_never_postponed(store: IdentityStore) -> None:
    store.add_organisation("acme")
    store.add_key(KEY)
    store.revoke_key("k1", NOW)
    assert store.revoke_key("k1", NOW + timedelta(days=9)).revoked_at == NOW
    assert store.revoke_key("k1", NOW - timedelta(days=9)).revoked_at == NOW - timedelta(days=9)


def test_refusals_change_nothing(store: IdentityStore) -> None:
    store.add_organisation("acme")
    store.add_key(KEY)
    attempts: dict[str, list[Callable[[], object]]] = {
        "duplicate_key": [
            lambda: store.add_key(KEY),
            lambda: store.add_key(msgspec.structs.replace(KEY, id="k2", digest=b"short")),
        ],
        "no_organisation": [
            lambda: store.add_key(msgspec.structs.replace(KEY, id="k2", organisation="no")),
            lambda: store.set_organisation_limits("no", LIMITS),
            lambda: store.switch_off(Switch("tenant", "no", NOW)),
        ],
        "no_key": [
            lambda: store.revoke_key("k2", NOW),
            lambda: store.set_key_limits("k2", LIMITS),
        ],
        "bad_name": [
            lambda: store.add_organisation(""),
            lambda: store.add_organisation("a" * 129),
            lambda: store.add_organisation("a\nb"),
            lambda: store.add_organisation(" a"),
        ],
    }
    for code, tries in attempts.items():
        assert [code_of(attempt) for attempt in tries] == [code] * len(tries)
    assert store.keys() == (KEY,)
    assert [o.name for o in store.organisations()] == ["acme"]
    assert store.switches() == ()


def test_a_switch_is_off_until_it_is_on(opens: Opens) -> None:
    one, other = opens(), opens()
    one.add_organisation("acme")
    tenant = Switch("tenant", "acme", NOW, "they asked")
    model = Switch("model", "acme", NOW)
    assert one.switch_off(tenant)
    assert not one.switch_off(msgspec.structs.replace(tenant, off_since=NOW + timedelta(days=1)))
    assert one.switch_off(model)
    assert other.switches() == (model, tenant)
    [organisation] = other.organisations()
    assert organisation.suspended_at == NOW
    assert one.switch_on("tenant", "acme")
    assert not one.switch_on("tenant", "acme")
    assert other.switches() == (model,)
    assert other.organisations()[0].suspended_at is None


def test_counting_begins_once(opens: Opens) -> None:
    one, other = opens(), opens()
    assert not other.counting_begun()
    one.begin_counting()
    one.begin_counting()
    assert other.counting_begun()


def test_names_cannot_carry_sql(store: IdentityStore) -> None:
    name = "x'); DROP TABLE api_keys; -- ? %s {} \\"
    store.add_organisation(name)
    store.add_key(msgspec.structs.replace(KEY, organisation=name, name=name))
    assert store.keys(name)[0].organisation == name
    assert store.keys(name)[0].name == name
    store.switch_off(Switch("model", name, NOW, name))
    assert store.switches() == (Switch("model", name, NOW, name),)


def test_threads_may_share_it(store: IdentityStore) -> None:
    store.add_organisation("acme")
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for index in range(10):
                store.add_key(msgspec.structs.replace(KEY, id=f"{number}-{index}"))
                store.changes()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    before = store.changes()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.keys()) == 40
    assert store.changes() == before + 40


def test_when_a_key_is_usable() -> None:
    assert KEY.usable(NOW)
    assert not KEY.usable(NOW + timedelta(days=1))
    revoked = msgspec.structs.replace(KEY, revoked_at=NOW)
    assert not revoked.usable(NOW)
    assert revoked.usable(NOW - timedelta(seconds=1))
    assert KEY.scopes == ALL_SCOPES
