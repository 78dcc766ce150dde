"""The hot path's statements: compiled once, and sent to the server together.

Without this, most of an epoch's cost is that SQLAlchemy builds the same few statements again, and
on Postgres the wait for an answer to each. Here a ``Statement`` is compiled once per kind of
database. On Postgres writes are sent in one batch with the next query or with the COMMIT (libpq's
pipeline mode), so that a transaction needs two round trips to the server instead of ten. On SQLite,
which has no round trips, everything runs at once.

Each of SQLAlchemy's own statements first sends the waiting ones: the order never changes. An error
of a waiting statement is raised when it is sent, at the latest by the COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError

_WAITING = "hpsearch_waiting"


@dataclass(frozen=True)
class _Form:
    """A statement as one kind of database takes it."""

    sql: str
    #: The order of the values; ``None`` if they are given by name.
    order: Sequence[str] | None
    #: Convert a value for the driver, by name; only of values that need it.
    processors: Mapping[str, Callable[[Any], Any]]
    #: Values that the statement itself contains.
    constants: Mapping[str, Any]

    def values(self, values: Mapping[str, Any]) -> Any:
        """Return ``values`` (by name) as the driver takes them."""
        if self.constants:
            values = {**self.constants, **values}
        if self.processors:
            values = {**values, **{key: make(values[key]) for key, make in self.processors.items()}}
        return values if self.order is None else tuple(values[name] for name in self.order)


class Statement:
    """A statement whose values are named ``bindparam``s or constants."""

    def __init__(self, element: sa.Select[Any] | sa.Insert | sa.Update | sa.Delete) -> None:
        self._element = element
        self._forms: dict[str, _Form] = {}

    def form(self, dialect: Dialect) -> _Form:
        """Return the statement as ``dialect`` takes it."""
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = self._compile(dialect)
        return form

    def _compile(self, dialect: Dialect) -> _Form:
        compiled: Any = self._element.compile(dialect=dialect)
        processors = {
            name: processor
            for name, bind in compiled.binds.items()
            if (processor := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        return _Form(str(compiled), compiled.positiontup, processors, constants)


def insertion(table: sa.Table, *columns: str) -> Statement:
    """Return an INSERT whose values are named like their columns."""
    # inline: the new row's key isn't needed.
    return Statement(
        sa.insert(table).inline().values({name: sa.bindparam(name) for name in columns})
    )


def execute(connection: Connection, statement: Statement, **values: Any) -> None:
    """Run a statement that returns no rows."""
    form = statement.form(connection.dialect)
    if connection.dialect.name == "sqlite":
        execute_now(connection, form.sql, form.values(values))
    else:
        _waiting(connection).append((form.sql, form.values(values)))


def fetch(connection: Connection, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
    """Run a query; returns its rows."""
    return fetch_many(connection, [(statement, values)])[0]


def fetch_many(
    connection: Connection, questions: Sequence[tuple[Statement, Mapping[str, Any]]]
) -> list[list[tuple[Any, ...]]]:
    """Run several queries in this order; returns the rows of each."""
    forms = [(statement.form(connection.dialect), values) for statement, values in questions]
    if connection.dialect.name == "sqlite":
        return [
            execute_now(connection, form.sql, form.values(values)).fetchall()
            for form, values in forms
        ]
    waiting = _waiting(connection)
    waiting.extend((form.sql, form.values(values)) for form, values in forms)
    answers = _send_waiting(connection)[-len(forms) :]
    return [cursor.fetchall() for cursor in answers]


def execute_now(connection: Connection, sql: str, values: Any = ()) -> Any:
    """Run one statement on SQLite.

    Args:
        connection: A connection to SQLite.
        sql: The statement.
        values: Its values, as the driver takes them.

    Returns:
        The driver's cursor.

    Raises:
        DBAPIError: SQLite refused the statement; the same classes as SQLAlchemy's.
    """
    # Not through SQLAlchemy's own exec_driver_sql: its result costs as much as the statement.
    raw: Any = connection.connection.driver_connection
    try:
        return raw.execute(sql, values)
    except raw.Error as error:
        _refused(connection, raw, sql, error)


def use_pipeline(engine: Engine) -> None:
    """Set up a Postgres engine (in autocommit mode) to send waiting statements in batches."""
    event.listen(engine, "begin", _begin)
    event.listen(engine, "before_cursor_execute", _before_execute)
    event.listen(engine, "commit", _commit)
    event.listen(engine, "rollback", _rollback)


def _waiting(connection: Connection) -> list[tuple[str, Any]]:
    waiting: list[tuple[str, Any]] = connection.info.setdefault(_WAITING, [])
    return waiting


def _begin(connection: Connection) -> None:
    connection.info[_WAITING] = [("BEGIN", None)]


def _before_execute(connection: Connection, *_others: Any) -> None:
    if connection.info.get(_WAITING):
        _send_waiting(connection)


def _commit(connection: Connection) -> None:
    waiting = _waiting(connection)
    if waiting and waiting[0][0] == "BEGIN" and len(waiting) == 1:
        waiting.clear()  # No statement was run.
        return
    waiting.append(("COMMIT", None))
    _send_waiting(connection)


def _rollback(connection: Connection) -> None:
    if not connection.invalidated:
        connection.info[_WAITING] = []


def _send_waiting(connection: Connection) -> list[Any]:
    """Send the waiting statements in one batch; returns the cursor of each."""
    waiting = connection.info[_WAITING]
    connection.info[_WAITING] = []
    raw: Any = connection.connection.driver_connection
    cursors: list[Any] = []
    first: Exception | None = None
    try:
        with raw.pipeline():
            try:
                for sql, values in waiting:
                    cursor = raw.cursor()
                    cursor.execute(sql, values)
                    cursors.append(cursor)
            except raw.Error as error:
                # Raised here, it would be logged as an ignored error when the pipeline closes.
                first = error
    except raw.Error as error:
        first = first or error
    if first is not None:
        _refused(connection, raw, "; ".join(sql for sql, _ in waiting), first)
    return cursors


def _refused(connection: Connection, raw: Any, sql: str, error: Exception) -> NoReturn:
    """Raise a driver's error as SQLAlchemy would, so that callers handle both in the same way."""
    is_disconnected = connection.dialect.is_disconnect(error, raw, None)  # type: ignore[arg-type]
    if is_disconnected:
        connection.invalidate(error)
    raise DBAPIError.instance(
        sql,
        None,
        error,
        raw.Error,
        hide_parameters=True,
        connection_invalidated=is_disconnected,
        dialect=connection.dialect,
    ) from error
