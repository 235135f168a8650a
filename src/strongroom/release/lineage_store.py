"""Key release's view of lineage: what the store says now, at each decision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.release import lineage
from strongroom.release.config import Lineage
from strongroom.release.lineage import Standing
from strongroom.store.lineage import Named, open_lineage_store


@contextmanager
def watching(configured: Lineage) -> Iterator[Standing]:
    """Who knows which models are revoked. The store is read anew each time.

    Raises:
        StrongroomError: ``store.*``, also when asked; nothing is released then.
    """
    with open_lineage_store(configured.store) as store:

        def standing(asked: Named) -> None:
            lineage.require_standing(asked, store.revocations(), store.derivations())

        yield standing
