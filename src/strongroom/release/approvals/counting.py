"""Key release's view of approvals: it counts what the store holds, and casts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from strongroom.ledger.entries import AnyEntry
from strongroom.release.approvals import approvers
from strongroom.release.approvals.desk import Desk
from strongroom.release.approvals.documents import Subject
from strongroom.release.approvals.tally import Tally
from strongroom.release.config import Grants
from strongroom.release.judging import CountApprovals
from strongroom.store.grants import open_grant_store


@contextmanager
def counting(grants: Grants) -> Iterator[CountApprovals]:
    """Who counts the approvals in ``grants``. The list of approvers is read anew each time.

    Raises:
        StrongroomError: ``store.*``; when counting, the codes of ``Desk.approved`` too.
    """
    with open_grant_store(grants.store) as store:

        def count(subject: Subject, needed: int) -> Tally:
            listed = approvers.load(Path(grants.approvers))
            return Desk(store, listed, _casts_nothing).approved(subject, needed)

        yield count


def _casts_nothing(_entry: AnyEntry) -> NoReturn:
    raise RuntimeError("counting approvals records nothing")
