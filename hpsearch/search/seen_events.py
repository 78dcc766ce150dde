"""Whether the ledger still contains what was read from it: an older copy may take its place.

The contents of a SQLite file may be exchanged under its name (`cp backup.db hpsearch.db` writes
into the same file), and a database of Postgres may be restored from a dump. Events are only ever
added, so the newest one that somebody has seen must stay as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import DatabaseReplaced
from hpsearch.search.ledger_tables import events, studies
from hpsearch.search.prepared import Statement, fetch
from hpsearch.search.storage import Database
from hpsearch.search.studies import StoredStudy

#: What makes an event itself: another history may use its id again, but not at the same time.
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
    """An event that must never vanish, since it was committed when it was read."""

    row: tuple[Any, ...]

    def is_kept(self, connection: Connection) -> bool:
        """Whether the event log still contains it, unchanged."""
        return [tuple(each) for each in fetch(connection, _BY_ID, event_id=self.row[0])] == [
            self.row
        ]


def newest_event(
    connection: Connection, study_id: int, ticket: int | None = None
) -> SeenEvent | None:
    """Return the newest event of a study, or of one ticket; ``None`` before the first."""
    if ticket is None:
        found = fetch(connection, _NEWEST_OF_STUDY, study_id=study_id)
    else:
        found = fetch(connection, _NEWEST_OF_TICKET, study_id=study_id, ticket=ticket)
    return SeenEvent(tuple(found[0])) if found else None


class SameLedger:
    """Compares the ledger with what it was, for whoever looks at ``stored`` again and again."""

    def __init__(self, database: Database, stored: StoredStudy) -> None:
        self._database = database
        self._stored = stored
        self._seen: SeenEvent | None = None

    def require(self) -> None:
        """Compare with the last call, and remember what is there now.

        A study that is gone is left to whoever reads it.

        Raises:
            DatabaseReplaced: An older copy, or another database, was put in place.
        """
        stored, database = self._stored, self._database
        run_key = sa.select(studies.c.run_key).where(studies.c.study_id == stored.study_id)

        def work(connection: Connection) -> SeenEvent | None:
            found = connection.execute(run_key).scalar_one_or_none()
            if found is None:
                return None
            lost = self._seen is not None and not self._seen.is_kept(connection)
            if lost or found != stored.run_key:
                raise gone_back(database, f"study {stored.name!r}")
            return newest_event(connection, stored.study_id)

        self._seen = database.read(work) or self._seen


def gone_back(database: Database, study: str) -> DatabaseReplaced:
    """Return the error that says that a ``study``, such as "study 'x'", is older than before."""
    return DatabaseReplaced(
        f"{database.display_url} must not go back in time while hpsearch uses it, but {study} "
        "has lost its newest events: an older copy was put in its place. This command "
        f"stops, and stores nothing more. {database.how_to_restore}The same command again goes on "
        "with what the database holds now"
    )
