"""Whether the ledger still contains what was read from it: an older copy may replace it.

`cp backup.db hpsearch.db` writes into the same SQLite file, and a Postgres database may be restored
from a dump. Events are only added, so the newest one that a process has seen must stay as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import DatabaseReplaced
from hpsearch.search.database.prepared import Statement, fetch
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import events, studies
from hpsearch.search.ledger.studies import StoredStudy

#: What identifies an event: another history may reuse its id, but not at the same time.
_COLUMNS = (
    events.c.event_id,
    events.c.study_id,
    events.c.ticket,
    events.c.attempt,
    events.c.kind,
    events.c.owner,
    events.c.at,
)
_BY_ID = Statement(sa.select(*_COLUMNS).where(events.c.event_id == sa.bindparam("event_id")))
_OF_STUDY = events.c.study_id == sa.bindparam("study_id")
_NEWEST_ID = sa.select(sa.func.max(events.c.event_id))
_NEWEST = sa.select(*_COLUMNS)
_NEWEST_OF_STUDY = Statement(
    _NEWEST.where(events.c.event_id == _NEWEST_ID.where(_OF_STUDY).scalar_subquery())
)
_OF_TICKET = sa.and_(_OF_STUDY, events.c.ticket == sa.bindparam("ticket"))
_NEWEST_OF_TICKET = Statement(
    _NEWEST.where(events.c.event_id == _NEWEST_ID.where(_OF_TICKET).scalar_subquery())
)


@dataclass(frozen=True)
class SeenEvent:
    """An event that must not vanish, since it was committed when it was read."""

    row: tuple[Any, ...]

    def is_kept(self, connection: Connection) -> bool:
        """Whether the event log still contains it, unchanged."""
        return [tuple(row) for row in fetch(connection, _BY_ID, event_id=self.row[0])] == [self.row]


def newest_event(
    connection: Connection, study_id: int, ticket: int | None = None
) -> SeenEvent | None:
    """Return the newest event of a study or of a ticket; ``None`` if there is none.

    Args:
        connection: The transaction that reads.
        study_id: Optuna's id of the study.
        ticket: The ticket; ``None`` for the whole study.
    """
    if ticket is None:
        rows = fetch(connection, _NEWEST_OF_STUDY, study_id=study_id)
    else:
        rows = fetch(connection, _NEWEST_OF_TICKET, study_id=study_id, ticket=ticket)
    return SeenEvent(tuple(rows[0])) if rows else None


class SameLedger:
    """Compares the ledger with its earlier state, for a caller that reads ``stored`` repeatedly."""

    def __init__(self, database: Database, stored: StoredStudy) -> None:
        self._database = database
        self._stored = stored
        #: The newest event at the last call.
        self._event: SeenEvent | None = None

    def require(self) -> None:
        """Compare with the last call, and remember the newest event.

        A study that is gone raises nothing here; the code that reads it reports that.

        Raises:
            DatabaseReplaced: An older copy or another database has replaced it.
        """
        stored, database = self._stored, self._database
        query = sa.select(studies.c.run_key).where(studies.c.study_id == stored.study_id)

        def work(connection: Connection) -> SeenEvent | None:
            run_key = connection.execute(query).scalar_one_or_none()
            if run_key is None:
                return None
            is_lost = self._event is not None and not self._event.is_kept(connection)
            if is_lost or run_key != stored.run_key:
                raise gone_back(database, f"study {stored.name!r}")
            return newest_event(connection, stored.study_id)

        self._event = database.read(work) or self._event


def gone_back(database: Database, study: str) -> DatabaseReplaced:
    """Return the error for a ``study``, such as "study 'x'", that is older than before."""
    return DatabaseReplaced(
        f"{database.display_url} must not be replaced by an older copy while hpsearch uses it, but "
        f"the newest events of {study} are missing. This command stops, and stores nothing more. "
        f"{database.how_to_restore}Run the same command again to continue with the current content "
        "of the database"
    )
