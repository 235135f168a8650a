"""The changes of tuning jobs and sessions that runners and operators make, in the operators' log.

A job that cannot be recorded is not kept; the rules are those of ``tune.recording``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli import identities
from strongroom.errors import StrongroomError
from strongroom.ledger.log_key import LogKey
from strongroom.tune.recording import Change, changed, session_changed

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.store.sessions import StoredSession
    from strongroom.store.tuning import Allow, StoredJob, TuningStore


def record(
    home: Home,
    job: StoredJob,
    change: Change,
    *,
    manifest_digest: str = "",
    code: str = "",
    by: str = "",
) -> None:
    """Append it; durable when it returns. ``by`` is whoever typed the command, unless given.

    Raises:
        StrongroomError: ``ledger.*``; then the change must not be made.
    """
    digest = LogKey.load(home.log_key).digest
    by = by or identities.by()
    entry = changed(job, change, digest, manifest_digest=manifest_digest, code=code, by=by)
    identities.record(home, entry)


def keep(
    home: Home,
    store: TuningStore,
    job: StoredJob,
    dataset: bytes,
    allow: Allow | None = None,
    *,
    by: str = "",
) -> None:
    """Record a new job and keep it; what is refused after all is recorded as failed.

    Raises:
        StrongroomError: ``ledger.*``, ``store.*`` or of ``allow``; then there is no job.
    """
    record(home, job, "created", by=by)
    try:
        store.add_job(job, dataset, allow)
    except StrongroomError as error:
        record(home, job, "failed", code=error.code, by=by)
        raise


def session_over(home: Home, session: StoredSession, code: str) -> None:
    """Record that a session is over; durable when it returns.

    Raises:
        StrongroomError: ``ledger.*``; it is over all the same.
    """
    identities.record(home, session_changed(session, "over", code=code, by=identities.by()))
