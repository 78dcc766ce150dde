"""Deleting studies: the ledger's rows, and Optuna's if the study is ours, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import UnknownName, UserError
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, studies, tickets
from hpsearch.search.ledger.study_identity import OWN_TABLES, is_ours


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """The stored rows of a study, which may be damaged or left over."""

    study_id: int
    name: str
    run_key: str
    #: Tickets: all, the complete ones, and those that seem to run.
    trials: int
    complete: int
    running: int
    #: Whether Optuna's tables don't have the study any more, only the ledger's.
    left_over: bool


def stored_rows(database: Database, name: str) -> StoredRows:
    """Return what is stored of the study called ``name``, even if it can't be used.

    Raises:
        UnknownName: There is no such study.
        UserError: hpsearch didn't create it: it is only in Optuna's tables.
    """
    return database.read(lambda connection: _rows_of(connection, name))


def delete_rows(database: Database, name: str, run_key: str) -> None:
    """Delete a study's rows, if they exist: a repetition after a lost answer must not fail.

    Args:
        database: The study's database.
        name: The study's name.
        run_key: The study's run key: a new study of the same name has another one.
    """

    def work(connection: Connection) -> None:
        query = (
            sa.select(studies.c.study_id)
            .where(studies.c.name == name, studies.c.run_key == run_key)
            .with_for_update()
        )
        study_id = connection.execute(query).scalar_one_or_none()
        if study_id is None:
            return
        in_optuna = is_ours(connection, study_id)
        for table in OWN_TABLES:
            connection.execute(sa.delete(table).where(table.c.study_id == study_id))
        if in_optuna:  # Otherwise the id belongs to another program's study.
            _delete_from_optuna(connection, study_id)

    database.write(work)


def _delete_from_optuna(connection: Connection, study_id: int) -> None:
    trials = sa.select(rows.TRIALS.c.trial_id).where(rows.TRIALS.c.study_id == study_id)
    for table in rows.OF_TRIALS:
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(trials)))
    for table in (rows.TRIALS, *rows.OF_STUDIES, rows.STUDIES):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))


def _rows_of(connection: Connection, name: str) -> StoredRows:
    query = sa.select(studies.c.study_id, studies.c.run_key).where(studies.c.name == name)
    row = connection.execute(query).first()
    if row is None:
        names = connection.execute(sa.select(studies.c.name)).scalars().all()
        _refuse_unknown(connection, name, names)
    study_id, run_key = row
    counts = sa.select(tickets.c.state, sa.func.count()).where(tickets.c.study_id == study_id)
    by_state = {
        state: int(count) for state, count in connection.execute(counts.group_by(tickets.c.state))
    }
    return StoredRows(
        study_id=study_id,
        name=name,
        run_key=run_key,
        trials=sum(by_state.values()),
        complete=by_state.get(TicketState.COMPLETE.value, 0),
        running=by_state.get(TicketState.RUNNING.value, 0),
        left_over=not is_ours(connection, study_id),
    )


def _refuse_unknown(connection: Connection, name: str, names: Sequence[str]) -> NoReturn:
    query = sa.select(rows.STUDIES.c.study_id).where(rows.STUDIES.c.study_name == name)
    if connection.execute(query).first() is not None:
        raise UserError(
            f"only a study that hpsearch created can be deleted here, but {name!r} was created by "
            f"another program; delete it with Optuna: optuna delete-study --study-name {name}"
        )
    raise UnknownName("study", name, names)
