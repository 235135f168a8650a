"""Organisations and keys for the drills of an audit, in the audit's own home.

The limits are the drill's, small enough to be reached in seconds; what operators set for real
organisations is not touched and not measured.
"""

from __future__ import annotations

from pathlib import Path

from strongroom.exposure.attacks.system.many_keys import LEAKED, LIMIT
from strongroom.exposure.targets.served_system import ATTACKER, VICTIM

_ALL = f"requests/total={LIMIT}"
_ORGANISATIONS: dict[str, tuple[str, ...]] = {
    "drill-caller": (),
    "drill-other": (),
    "drill-one": (_ALL,),
    "drill-many": (_ALL,),
    "drill-leaked": (_ALL,),
    "drill-free": (),
}
_KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    ATTACKER: ("drill-caller", ()),
    VICTIM: ("drill-other", ()),
    "one": ("drill-one", ()),
    **{f"many-{number}": ("drill-many", ()) for number in range(1, 5)},
    "leaked": ("drill-leaked", (f"requests/total={LEAKED}",)),
    "free": ("drill-free", ()),
}


def drill_keys(home: Path) -> dict[str, str]:
    """Make the organisations and keys in ``home``; the keys by the names that attacks use."""
    from strongroom.cli import identities, limits_text
    from strongroom.cli.call import Call
    from strongroom.gateway.api_keys import digest, make_key
    from strongroom.gateway.config import read_pepper
    from strongroom.store.interface import ALL_SCOPES, KeyRecord
    from strongroom.store.limits import UNLIMITED

    made = {}
    with identities.opened(Call(home)) as office:
        pepper = read_pepper(office.home.keys / "pepper")
        for organisation, limits in _ORGANISATIONS.items():
            office.store.add_organisation(organisation)
            wanted = limits_text.parse(limits, UNLIMITED)
            office.store.set_organisation_limits(organisation, wanted)
        for name, (organisation, limits) in _KEYS.items():
            key_id, text = make_key()
            office.store.add_key(
                KeyRecord(
                    id=key_id,
                    organisation=organisation,
                    name=name,
                    digest=digest(pepper, text),
                    created_at=identities.now(),
                    expires_at=None,
                    scopes=ALL_SCOPES,
                    limits=limits_text.parse(limits, UNLIMITED),
                )
            )
            made[name] = text
    return made
