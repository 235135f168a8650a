"""What the verbs about organisations, keys and switches share: the store, the record of changes.

What takes something away is done first and recorded after: a record that cannot be written must
not keep it from working. What grants something is recorded first.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from strongroom.cli import home as homes
from strongroom.errors import ConfigurationRefused
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.store.interface import IdentityStore, Organisation
from strongroom.store.opening import open_identity_store

if TYPE_CHECKING:
    from strongroom.cli.call import Call
    from strongroom.ledger.entries import AnyEntry

OPERATOR_LOG = "operator"
_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Office:
    """An opened store of identities, and where its changes are recorded."""

    home: homes.Home
    store: IdentityStore

    def record(self, entry: AnyEntry) -> None:
        """Append to the operators' log; durable when it returns."""
        record(self.home, entry)

    def organisation(self, name: str) -> Organisation:
        """The organisation of this name; ``store.no_organisation`` without one."""
        found = self.store.organisation(name)
        if found is None:
            raise ConfigurationRefused(
                "store.no_organisation",
                f"There is no organisation named {name!r}.",
                action="List those there are with `strongroom tenant list`.",
            )
        return found


def record(home: homes.Home, entry: AnyEntry) -> None:
    """Append to the operators' log of a home; durable when it returns."""
    key = LogKey.load(home.log_key)
    with open_log(home.state, OPERATOR_LOG, key, wait_seconds=_WAIT_SECONDS) as log:
        log.write(entry)


@contextmanager
def opened(call: Call) -> Iterator[Office]:
    """The office of the home that ``call`` names."""
    home = homes.open_home(call.home_path)
    with open_identity_store(home.settings.stores.identity or str(home.database)) as store:
        yield Office(home, store)


def by() -> str:
    """Who typed the command, as the record has it: ``cli:USER``."""
    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = str(user)
    return f"cli:{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:100]}"


def now() -> datetime:
    """Now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def time_text(moment: datetime | None) -> str | None:
    """A time for people and scripts alike."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
