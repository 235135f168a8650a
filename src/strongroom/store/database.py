"""What a store needs of its database: statements, and changes that happen whole or not at all.

``sqlite.SqliteDatabase`` and ``postgres.PostgresDatabase`` are the two; what is kept in them, and
by which statements, is the business of ``sql`` and ``grants``. Statements use ``?`` for values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

Row = Sequence[Any]


class IntegrityBroken(Exception):
    """A row is there already, or the database refuses a value."""


class Database(ABC):
    """An open database of one schema. May be used from several threads."""

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement; what it returned."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """All or nothing of what is run inside, alone among writers, durable at its end.

        Raises:
            IntegrityBroken: a row is there already, or a value is refused.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection; the object is unusable afterwards."""
