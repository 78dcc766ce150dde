"""A database as it was at one moment: several questions, one transaction, one answer.

A ledger that workers write to is never whole between two reads. Whoever compares its tables must
see all of them at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.storage import Database

T = TypeVar("T")


class Snapshot(Database):
    """Answers every ``read`` from one open transaction, and refuses to write."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.url = database.url
        self.patience = database.patience
        self.engine = database.engine
        self._file = database._file
        self._connection = connection

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in the transaction that all reads share."""
        return work(self._connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Refuse."""
        raise RuntimeError("a look at one moment can't write")


def read_snapshot(database: Database, look: Callable[[Database], T]) -> T:
    """Return ``look(view)``, where every read of ``view`` sees the same moment.

    ``look`` may run several times: all of it again where the database was busy.
    """

    def work(connection: Connection) -> T:
        if not database.is_sqlite:
            # Postgres by default sees a new moment with each statement.
            connection.execute(
                sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            )
        return look(Snapshot(database, connection))

    return database.read(work)
