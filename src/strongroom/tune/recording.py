"""What stands in the record of tuning jobs and sessions: the same for owners and customers.

1. ``created`` is durable before the job is kept, ``sealed`` and ``failed`` before it ends so. What
   takes something away is done first: ``cancelled`` follows the cancelling.
2. A process that dies in between leaves a job without ``cancelled``; or an entry without what it
   says, and then either the job was never kept, or it is still open and its next runner goes on:
   the last entry of a job holds.
3. Of what a job learns from, the record has a keyed digest of its digest.
4. Sessions likewise: ``began`` before one is there, ``over`` once it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from strongroom.ledger.entries import SessionChanged, TuningChanged
from strongroom.store.sessions import StoredSession
from strongroom.store.tuning import StoredJob

Change = Literal["created", "cancelled", "sealed", "failed"]


def changed(
    job: StoredJob,
    change: Change,
    digest: Callable[[Literal["dataset"], bytes], str],
    *,
    key_id: str = "",
    manifest_digest: str = "",
    code: str = "",
    by: str = "",
) -> TuningChanged:
    """The entry for a change of ``job``; ``digest`` is the log key's."""
    return TuningChanged(
        job=job.id,
        organisation=job.organisation,
        model=job.model,
        base_digest=job.manifest,
        dataset_digest=digest("dataset", bytes.fromhex(job.dataset)),
        change=change,
        key_id=key_id,
        manifest_digest=manifest_digest,
        code=code,
        by=by,
    )


def session_changed(
    session: StoredSession,
    change: Literal["began", "over"],
    *,
    key_id: str = "",
    code: str = "",
    by: str = "",
) -> SessionChanged:
    """The entry for a change of ``session``."""
    return SessionChanged(
        session=session.id,
        organisation=session.organisation,
        model=session.model,
        base_digest=session.manifest,
        change=change,
        steps=session.step,
        key_id=key_id,
        code=code,
        by=by,
    )
