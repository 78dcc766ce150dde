"""A database as it was at one moment: several reads in one transaction.

Workers may write between two reads. A caller that compares tables must see all of them at the same
moment.
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
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("a look at one moment can't write")


def read_snapshot(database: Database, look: Callable[[Database], T]) -> T:
    """Return ``look(view)``; all reads of ``view`` see the same moment.

    ``look`` may run several times: from the start if the database was busy.
    """

    def work(connection: Connection) -> T:
        if not database.is_sqlite:
            # By default each statement on Postgres sees a new moment.
            connection.execute(
                sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            )
        return look(Snapshot(database, connection))

    return database.read(work)
