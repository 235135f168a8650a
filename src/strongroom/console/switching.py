"""Switches for the console: in the identity store, and in the record.

Off comes first and is recorded after: a record that cannot be written must not keep a switch from
working. On is recorded first: nothing is let through again of which the record does not say so.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from strongroom.ledger.entries import Switched
from strongroom.store.interface import IdentityStore, Switch


class StoreSwitchboard:
    """See ``reading.Switchboard``.

    Args:
        store: where switches are.
        record: appends to the operators' log; durable when it returns.
    """

    def __init__(self, store: IdentityStore, record: Callable[[Switched], None]) -> None:
        self._store = store
        self._record = record

    def switch(
        self, kind: Literal["model", "tenant"], name: str, on: bool, reason: str, by: str
    ) -> None:
        """See ``reading.Switchboard``."""
        subject: Literal["model", "organisation"] = "organisation" if kind == "tenant" else "model"
        entry = Switched(subject, name, on, by, reason)
        if on:
            self._record(entry)
            self._store.switch_on(kind, name)
        else:
            now = datetime.now(UTC).replace(microsecond=0)
            self._store.switch_off(Switch(kind, name, now, reason))
            self._record(entry)
