"""Switches for the console: in the identity store, and in the record.

Off comes first and is recorded after: a record that cannot be written must not keep a switch from
working. On is recorded first: nothing is let through again of which the record does not say so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from strongroom.ledger.entries import Switched
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.store.interface import IdentityStore, Switch

OPERATOR_LOG: Final = "operator"
_WAIT_SECONDS: Final = 5.0


class StoreSwitchboard:
    """See ``reading.Switchboard``.

    Args:
        store: where switches are.
        state: the home's folder ``state``.
        log_key: file of the home's log key; read at each switch, so that it is held no longer.
    """

    def __init__(self, store: IdentityStore, state: Path, log_key: Path) -> None:
        self._store = store
        self._state = state
        self._log_key = log_key

    def switch(
        self, kind: Literal["model", "tenant"], name: str, on: bool, reason: str, by: str
    ) -> None:
        """See ``reading.Switchboard``."""
        if on:
            self._record(kind, name, on, reason, by)
            self._store.switch_on(kind, name)
            return
        now = datetime.now(UTC).replace(microsecond=0)
        self._store.switch_off(Switch(kind, name, now, reason))
        self._record(kind, name, on, reason, by)

    def _record(
        self, kind: Literal["model", "tenant"], name: str, on: bool, reason: str, by: str
    ) -> None:
        subject: Literal["model", "organisation"] = "organisation" if kind == "tenant" else "model"
        key = LogKey.load(self._log_key)
        with open_log(self._state, OPERATOR_LOG, key, wait_seconds=_WAIT_SECONDS) as log:
            log.write(Switched(subject, name, on, by, reason))
