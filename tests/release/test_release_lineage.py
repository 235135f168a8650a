"""What is revoked, and what falls with it; the property test compares with a naive model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_desk import MANIFEST, MODEL, RELEASE, code_of, make_desk

from strongroom.errors import KeyRefused, StrongroomError
from strongroom.release.config import Lineage
from strongroom.release.lineage import require_standing
from strongroom.release.lineage_store import watching
from strongroom.release.protocol import Clock, ReleaseService
from strongroom.store.lineage import Derivation, Named, Revocation, open_lineage_store

BASE = Named("acme/base", 2, "aa" * 32)
ADAPTER = Named("acme/adapter", 1, "bb" * 32)
STUDENT = Named("acme/student", 1, "cc" * 32)
STRANGER = Named("acme/other", 1, "dd" * 32)
MADE = (Derivation(ADAPTER, BASE, "ada", 1), Derivation(STUDENT, ADAPTER, "ada", 2))


def revoking(named: Named, *, every: bool = False, manifest: bool = True) -> Revocation:
    release = 0 if every else named.release
    return Revocation(named.model, release, named.manifest if manifest else "", "leaked", "ada", 3)


def code(asked: Named, *revocations: Revocation) -> str:
    try:
        require_standing(asked, revocations, MADE)
    except KeyRefused as refused:
        return refused.code
    return ""


def test_what_is_revoked_takes_with_it_what_was_made_from_it() -> None:
    whole = revoking(BASE, every=True, manifest=False)
    assert code(BASE, whole) == "release.revoked"
    assert code(ADAPTER, whole) == code(STUDENT, whole) == "release.source_revoked"
    assert code(STRANGER, whole) == ""
    assert code(BASE) == code(STUDENT) == ""


def test_what_it_was_made_from_stays() -> None:
    assert code(STUDENT, revoking(ADAPTER)) == "release.source_revoked"
    assert code(BASE, revoking(ADAPTER)) == ""


def test_one_release_or_all_of_them() -> None:
    later = Named(BASE.model, 3, "ee" * 32)
    assert code(later, revoking(BASE)) == ""
    assert code(later, revoking(BASE, every=True)) == "release.revoked"


def test_another_name_does_not_help_where_the_manifest_is_known() -> None:
    renamed = Named("acme/innocent", 1, BASE.manifest)
    assert code(renamed, revoking(BASE)) == "release.revoked"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_path_leads_around_a_revocation(data: st.DataObject) -> None:
    """Any graph, circles too: refused exactly where the naive closure reaches a revoked one."""
    models = [Named(f"m{n}", 1, f"{n:02x}" * 32) for n in range(6)]
    pairs = data.draw(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
    gone = data.draw(st.sets(st.integers(0, 5), max_size=2))
    made = [Derivation(models[a], models[b], "ada", 1) for a, b in pairs]
    reach = {n: {n} for n in range(6)}
    for _ in range(6):
        for a, b in pairs:
            reach[a] |= reach[b]
    for n, model in enumerate(models):
        try:
            require_standing(model, [revoking(models[g]) for g in gone], made)
            refused = False
        except KeyRefused:
            refused = True
        assert refused == bool(reach[n] & gone)


def test_a_revocation_counts_at_the_next_decision(tmp_path: Path) -> None:
    address = str(tmp_path / "lineage.sqlite")
    desk = make_desk(tmp_path)
    with watching(Lineage(address)) as standing, open_lineage_store(address) as store:
        desk.service = ReleaseService(
            service_key=desk.service_key,
            unlockers=[desk.identity],
            policy=desk.policy,
            record=desk.records.append,
            standing=standing,
            clock=Clock(lambda: desk.now, lambda: desk.now),
        )
        desk.obtain()
        asked = Named(MODEL, RELEASE, MANIFEST)
        store.derive(Derivation(asked, BASE, "ada", 1))
        desk.obtain()
        store.revoke(revoking(BASE))
        assert code_of(desk.obtain) == "release.source_revoked"
        store.revoke(revoking(asked, manifest=False))
        assert code_of(desk.obtain) == "release.revoked"
    assert code_of(desk.obtain) != "release.revoked"  # a closed store releases nothing either
    assert [each.outcome for each in desk.records] == ["released"] * 2 + ["refused"] * 3


def test_a_store_that_cannot_be_read_releases_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lineage.sqlite"
    path.write_bytes(b"not a database, and no lineage either" * 40)
    path.chmod(0o600)
    with pytest.raises(StrongroomError) as unusable, watching(Lineage(str(path))):
        pass
    assert unusable.value.code == "store.unusable"
