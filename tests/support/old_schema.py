"""The tables as the first version of hpsearch had them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database.schema_version import VERSION_TABLE

#: What every later migration has added.
_TAKEN_BACK = (
    "ALTER TABLE hpsearch_tickets DROP COLUMN figures",
    "ALTER TABLE hpsearch_tickets DROP COLUMN rung",
    "ALTER TABLE hpsearch_tickets DROP COLUMN audited_from",
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
