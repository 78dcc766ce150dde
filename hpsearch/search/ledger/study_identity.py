"""Whether a study of the ledger is still the study with its id in Optuna's tables.

People delete studies with Optuna's own tools, which don't know the ledger. Its rows are then left
over, and SQLite gives the free id to the next study of any program. So a study's run key is also in
Optuna's tables, as a system attribute, and every attach and every write compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import LeftOverStudy, StorageError
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.prepared import Statement, fetch
from hpsearch.search.database.tables import (
    epochs,
    events,
    fleets,
    prior_results,
    studies,
    tickets,
)

#: The system attribute of Optuna's study with the run key of ours.
RUN_KEY = "hpsearch:run_key"

#: The tables whose rows belong to a study of ours.
OWN_TABLES = (fleets, prior_results, events, epochs, tickets, studies)

_STUDY_OF_OPTUNA = sa.and_(
    rows.STUDIES.c.study_id == studies.c.study_id, rows.STUDIES.c.study_name == studies.c.name
)
_KEY_OF_OPTUNA = sa.and_(
    rows.STUDY_SYSTEM_ATTRS.c.study_id == studies.c.study_id,
    rows.STUDY_SYSTEM_ATTRS.c.key == RUN_KEY,
    # json.dumps of letters and digits
    rows.STUDY_SYSTEM_ATTRS.c.value_json == sa.literal('"') + studies.c.run_key + sa.literal('"'),
)

#: One row if Optuna's study under ``study_id`` is ours, by name and run key; else none.
IS_OURS = Statement(
    sa.select(studies.c.study_id)
    .join(rows.STUDIES, _STUDY_OF_OPTUNA)
    .join(rows.STUDY_SYSTEM_ATTRS, _KEY_OF_OPTUNA)
    .where(studies.c.study_id == sa.bindparam("study_id"))
)


def is_ours(connection: Connection, study_id: int) -> bool:
    """Whether Optuna's study under ``study_id`` is the one that hpsearch created."""
    return bool(fetch(connection, IS_OURS, study_id=study_id))


def require_ours(
    connection: Connection, study_id: int, key_rows: Sequence[Any], storage: str = ""
) -> None:
    """Compare a study of the ledger with Optuna's row.

    Args:
        connection: The transaction, which also reads the reason.
        study_id: Optuna's id of the study.
        key_rows: The rows that ``IS_OURS`` returned for it.
        storage: The ``--storage`` option that the command in the message needs.

    Raises:
        LeftOverStudy: Another program deleted Optuna's study; its id may belong to another one.
        StorageError: hpsearch deleted the study meanwhile.
    """
    if key_rows:
        return
    name = _name_in(connection, studies.c.name, studies.c.study_id == study_id)
    if name is None:
        raise StorageError(
            "the study was deleted from the database while this command worked on it; launch it "
            "again to create a new one"
        )
    other = _name_in(connection, rows.STUDIES.c.study_name, rows.STUDIES.c.study_id == study_id)
    why = "another program than hpsearch deleted it from Optuna's tables"
    if other is not None:
        why += f", where study {study_id} is now {other!r}, which hpsearch didn't create"
    raise LeftOverStudy(
        f"study {name!r} can't be used: {why}. Its rows in hpsearch's own tables are left over; "
        f"remove them with `hpsearch studies --delete {name}{storage}` to use the name again"
    )


def _name_in(
    connection: Connection, column: sa.Column[str], condition: sa.ColumnElement[bool]
) -> str | None:
    return connection.execute(sa.select(column).where(condition)).scalar_one_or_none()


def mark_as_ours(connection: Connection, study_id: int, run_key: str) -> None:
    """Write the run key of a new study into Optuna's tables.

    Args:
        connection: The transaction that creates the study.
        study_id: Optuna's id of the study.
        run_key: Letters and digits.
    """
    connection.execute(
        sa.insert(rows.STUDY_SYSTEM_ATTRS).values(
            study_id=study_id, key=RUN_KEY, value_json=json.dumps(run_key)
        )
    )


def has_left_overs(connection: Connection, study_id: int) -> bool:
    """Whether the ledger has rows under an id that Optuna has just given to a new study."""
    return any(
        connection.execute(
            sa.select(table.c.study_id).where(table.c.study_id == study_id).limit(1)
        ).first()
        for table in OWN_TABLES
    )


def unused_id(connection: Connection) -> int:
    """Return a study id above all ids in Optuna's tables and the ledger."""
    highest = [
        connection.execute(sa.select(sa.func.max(table.c.study_id))).scalar_one() or 0
        for table in (*OWN_TABLES, rows.STUDIES)
    ]
    return int(max(highest)) + 1
