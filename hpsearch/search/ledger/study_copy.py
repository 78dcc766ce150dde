"""Copying a study to another database: the ledger's rows and Optuna's, in one transaction.

Ids differ between databases, so the copy's rows get new ones: of the study, of its trials, and of
rows that only have a number. Everything else is equal, and is compared after the copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError, UserError
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database, read_snapshot
from hpsearch.search.database.tables import fleets, studies
from hpsearch.search.ledger.study_identity import OWN_TABLES

#: Rows that are read and inserted at a time.
BATCH = 1000

#: All tables but Optuna's studies and trials. Rows keep the order of their ids, as events must.
_OTHER_TABLES = (
    *rows.OF_STUDIES,
    *rows.OF_TRIALS,
    # Workers of a fleet continue with the database that they were launched into
    *(table for table in OWN_TABLES if table is not fleets),
)


@dataclass(frozen=True, kw_only=True)
class StudyCopy:
    """A study that is in both databases."""

    name: str
    trials: int
    #: The rows of all tables.
    rows: int
    #: Whether it was there before, the same in every row.
    existed: bool


@dataclass(frozen=True, kw_only=True)
class _Ids:
    """One database's ids of a study."""

    study_id: int
    #: Optuna's trial_id -> number.
    numbers: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class _Contents:
    """All rows of a study, without its ids and in no order."""

    rows: int
    digest: int


def copy_study(source: Database, target: Database, name: str) -> StudyCopy:
    """Copy one study, unless the target has it already.

    A call that is killed leaves the target as it was. Call it only if no worker trains a trial of
    the study.

    Args:
        source: The database that has the study.
        target: A database with the tables of the same versions.
        name: The study's name.

    Returns:
        The study, as both databases have it.

    Raises:
        UserError: The target has another study of this name, or other rows of this one.
        StorageError: A row belongs to no trial, or the copy has other rows than the source; then
            nothing was written.
    """

    def from_source(view: Database) -> StudyCopy:
        return view.read(lambda reading: target.write(lambda writing: _copy(reading, writing)))

    def _copy(reading: Connection, writing: Connection) -> StudyCopy:
        ids, contents = _read(reading, name)
        existed = _require_same_or_none(reading, writing, name, target)
        if not existed:
            _insert(reading, writing, ids)
        _, copy_contents = _read(writing, name)
        if copy_contents != contents:
            _refuse(name, target, existed=existed)
        return StudyCopy(name=name, trials=len(ids.numbers), rows=contents.rows, existed=existed)

    return read_snapshot(source, from_source)


def _require_same_or_none(
    reading: Connection, writing: Connection, name: str, target: Database
) -> bool:
    """Whether the target has the study that the source has."""
    key = sa.select(studies.c.run_key).where(studies.c.name == name)
    run_key = writing.execute(key).scalar_one_or_none()
    if run_key is not None and run_key == reading.execute(key).scalar_one():
        return True
    of_optuna = sa.select(rows.STUDIES.c.study_id).where(rows.STUDIES.c.study_name == name)
    if run_key is not None or writing.execute(of_optuna).first() is not None:
        raise UserError(
            f"a study is copied into a database that has none of its name, but "
            f"{target.display_url} has another study {name!r}; delete it there, or name another "
            "database. Nothing of this study was copied"
        )
    return False


def _refuse(name: str, target: Database, *, existed: bool) -> None:
    if existed:
        raise UserError(
            f"a study is copied once, but {target.display_url} has a copy of {name!r} that differs "
            "now: one of the two was continued. Use the one that you want to continue; to copy "
            f"again, delete the other first: `hpsearch studies --delete {name}`"
        )
    raise StorageError(
        f"the copy of {name!r} in {target.display_url} must equal its source, but it differs; "
        "nothing was written. Please report this"
    )


def _read(connection: Connection, name: str) -> tuple[_Ids, _Contents]:
    """Read a study's ids, and all its rows for a comparison."""
    ids = _ids(connection, name)
    count, digest = 0, 0
    for table in (rows.STUDIES, rows.TRIALS, *_OTHER_TABLES):
        for row in _rows_of(connection, table, ids.study_id):
            trial_id = row.pop("trial_id", None)
            content = (table.name, ids.numbers.get(trial_id), sorted(row.items()))
            # A sum doesn't depend on the order, in which the databases differ
            digest += int.from_bytes(hashlib.sha256(repr(content).encode()).digest())
            count += 1
    return ids, _Contents(rows=count, digest=digest % 2**256)


def _ids(connection: Connection, name: str) -> _Ids:
    query = sa.select(studies.c.study_id).where(studies.c.name == name)
    study_id = connection.execute(query).scalar_one()
    trials = sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.number).where(
        rows.TRIALS.c.study_id == study_id
    )
    numbers = {row.trial_id: row.number for row in connection.execute(trials)}
    return _Ids(study_id=study_id, numbers=numbers)


def _rows_of(connection: Connection, table: sa.Table, study_id: int) -> Iterator[dict[str, Any]]:
    """Yield a study's rows of one table, in the order of its key, without ids but ``trial_id``."""
    if "study_id" in table.c:
        condition = table.c.study_id == study_id
    else:
        trials = sa.select(rows.TRIALS.c.trial_id).where(rows.TRIALS.c.study_id == study_id)
        condition = table.c.trial_id.in_(trials)
    query = sa.select(table).where(condition).order_by(*table.primary_key)
    id_columns = {"study_id", *_numbering(table)} - {"trial_id"}
    for row in connection.execute(query.execution_options(yield_per=BATCH)).mappings():
        yield {key: value for key, value in row.items() if key not in id_columns}


def _numbering(table: sa.Table) -> Sequence[str]:
    """Return the column that only numbers a table's rows, if there is one."""
    keys = [column.name for column in table.primary_key]
    return keys if len(keys) == 1 and keys != ["study_id"] else []


def _insert(reading: Connection, writing: Connection, ids: _Ids) -> None:
    (study,) = _rows_of(reading, rows.STUDIES, ids.study_id)
    study_id = writing.execute(
        sa.insert(rows.STUDIES).values(**study).returning(rows.STUDIES.c.study_id)
    ).scalar_one()
    new_ids: dict[int, int] = {}
    for batch in _batches(_rows_of(reading, rows.TRIALS, ids.study_id)):
        old_ids = [row.pop("trial_id") for row in batch]
        batch_ids = writing.execute(
            sa.insert(rows.TRIALS).returning(rows.TRIALS.c.trial_id, sort_by_parameter_order=True),
            [{**row, "study_id": study_id} for row in batch],
        ).scalars()
        new_ids.update(zip(old_ids, batch_ids, strict=True))
    for table in _OTHER_TABLES:
        for batch in _batches(_rows_of(reading, table, ids.study_id)):
            for row in batch:
                if "study_id" in table.c:
                    row["study_id"] = study_id
                if (trial_id := row.get("trial_id")) is not None:
                    if trial_id not in new_ids:
                        raise StorageError(
                            f"a row of a study must belong to one of its trials, but a row of "
                            f"{table.name} has the trial_id {trial_id}, which no trial has; "
                            "nothing was copied. `hpsearch doctor` shows all such rows"
                        )
                    row["trial_id"] = new_ids[trial_id]
            writing.execute(sa.insert(table), batch)


def _batches(table_rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(table_rows, BATCH)):
        yield batch
