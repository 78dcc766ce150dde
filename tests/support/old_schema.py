"""The tables as the first version of hpsearch had them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database.schema_version import VERSION_TABLE

#: What every later migration has added.
_TAKEN_BACK = (
    "DROP INDEX hpsearch_tickets_by_state_and_study",
    "DROP INDEX hpsearch_tickets_audited",
    "DROP INDEX hpsearch_events_by_ticket_and_id",
    "DROP INDEX hpsearch_events_by_study",
    "DROP INDEX hpsearch_events_by_kind",
    "CREATE INDEX hpsearch_tickets_by_state ON hpsearch_tickets (study_id, state)",
    "CREATE INDEX hpsearch_events_by_ticket ON hpsearch_events (study_id, ticket)",
    "ALTER TABLE hpsearch_tickets DROP COLUMN figures",
    "ALTER TABLE hpsearch_tickets DROP COLUMN rung",
    "ALTER TABLE hpsearch_tickets DROP COLUMN audited_from",
    "ALTER TABLE hpsearch_epochs DROP COLUMN others",
    "ALTER TABLE hpsearch_studies DROP COLUMN granted",
    "DROP TABLE hpsearch_knowledge",
    "DROP TABLE hpsearch_fleets",
    "DELETE FROM study_system_attributes WHERE key = 'hpsearch:run_key'",
    f"UPDATE {VERSION_TABLE} SET version_num = '0001'",
)


def go_back_to_0001(connection: Connection) -> None:
    """Take everything back that came after schema 0001."""
    for statement in _TAKEN_BACK:
        connection.execute(sa.text(statement))
