"""Which failures of a database are waited out, for how long, and who may end the wait."""

from __future__ import annotations

import sqlite3
from itertools import count

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InternalError,
    OperationalError,
)

from hpsearch.errors import StorageError
from hpsearch.search.database.errors import (
    is_of_the_database,
    is_transient,
    is_unusable,
    needs_other_connection,
)
from hpsearch.search.database.storage import Database, GaveUpWaiting, Patience

TOO_MANY = "connection failed: FATAL:  sorry, too many clients already"
STARTING = "connection failed: FATAL:  the database system is starting up"


def wrapped(cause: Exception, *, invalidated: bool = False) -> DBAPIError:
    kinds = {
        "OperationalError": OperationalError,
        "IntegrityError": IntegrityError,
        "DatabaseError": DatabaseError,
        "ReadOnlySqlTransaction": InternalError,
        "DataCorrupted": InternalError,
    }
    kind = kinds.get(type(cause).__name__, DBAPIError)
    return kind("SELECT 1", {}, cause, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        # SQLite: only the text tells
        pytest.param(sqlite3.OperationalError("database is locked"), True, id="locked"),
        pytest.param(sqlite3.OperationalError("database table is locked"), True, id="table locked"),
        pytest.param(sqlite3.OperationalError("database or disk is full"), True, id="full"),
        pytest.param(sqlite3.OperationalError("disk I/O error"), True, id="I/O error"),
        pytest.param(sqlite3.OperationalError("no such table: x"), False, id="no table"),
        pytest.param(
            sqlite3.OperationalError("attempt to write a readonly database"), True, id="read-only"
        ),
        pytest.param(sqlite3.OperationalError("unable to open database file"), True, id="open"),
        pytest.param(sqlite3.DatabaseError("file is not a database"), False, id="no database"),
        pytest.param(
            sqlite3.DatabaseError("database disk image is malformed"), False, id="malformed"
        ),
        pytest.param(sqlite3.IntegrityError("UNIQUE constraint failed"), False, id="unique"),
        # Postgres: the SQLSTATE tells
        pytest.param(pg.SerializationFailure("could not serialize"), True, id="40001"),
        pytest.param(pg.DeadlockDetected("deadlock detected"), True, id="40P01"),
        pytest.param(pg.LockNotAvailable("lock timeout"), True, id="55P03"),
        pytest.param(pg.DiskFull("no space left"), True, id="53100"),
        pytest.param(pg.TooManyConnections("too many clients"), True, id="53300"),
        pytest.param(pg.AdminShutdown("terminating connection"), True, id="57P01"),
        pytest.param(pg.CannotConnectNow("starting up"), True, id="57P03"),
        pytest.param(pg.ConnectionFailure("connection lost"), True, id="08006"),
        pytest.param(pg.ReadOnlySqlTransaction("cannot execute UPDATE"), True, id="25006"),
        pytest.param(pg.IdleInTransactionSessionTimeout("terminated"), True, id="25P03"),
        pytest.param(pg.IoError("could not write block"), True, id="58030"),
        pytest.param(pg.InFailedSqlTransaction("aborted"), False, id="25P02"),
        pytest.param(pg.DataCorrupted("invalid page"), False, id="XX001"),
        pytest.param(pg.UniqueViolation("duplicate key"), False, id="23505"),
        pytest.param(pg.UndefinedTable("no such table"), False, id="42P01"),
        pytest.param(pg.InsufficientPrivilege("permission denied"), False, id="42501"),
        pytest.param(pg.InvalidPassword("wrong"), False, id="28P01"),
        # Postgres while connecting: no SQLSTATE
        pytest.param(
            psycopg.OperationalError("connection failed: Connection refused"), True, id="refused"
        ),
        pytest.param(
            psycopg.OperationalError('FATAL:  password authentication failed for user "u"'),
            False,
            id="wrong password",
        ),
        pytest.param(
            psycopg.OperationalError('FATAL:  database "d" does not exist'), False, id="no database"
        ),
        pytest.param(psycopg.OperationalError("no password supplied"), False, id="none"),
        pytest.param(psycopg.OperationalError(TOO_MANY), True, id="too many, no SQLSTATE"),
        pytest.param(psycopg.OperationalError(STARTING), True, id="starting, no SQLSTATE"),
        pytest.param(psycopg.ProgrammingError("wrong use"), False, id="programming error"),
    ],
)
def test_is_transient(cause, expected):
    assert is_transient(wrapped(cause)) is expected


def test_a_connection_that_was_cut_is_transient_whatever_it_says():
    assert is_transient(wrapped(psycopg.ProgrammingError("closed"), invalidated=True))


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        pytest.param(sqlite3.OperationalError("unable to open database file"), True, id="open"),
        pytest.param(sqlite3.DatabaseError("file is not a database"), True, id="other file"),
        pytest.param(pg.InsufficientPrivilege("permission denied"), True, id="no right"),
        pytest.param(pg.DataCorrupted("invalid page"), True, id="damaged page"),
        pytest.param(pg.ForeignKeyViolation("not present in table"), True, id="deleted by others"),
        pytest.param(sqlite3.IntegrityError("UNIQUE constraint failed"), False, id="our mistake"),
        pytest.param(pg.UndefinedColumn("no such column"), False, id="our mistake there"),
    ],
)
def test_whose_fault_it_is(cause, expected):
    """What the user can correct is a message; our own mistakes keep their traceback."""
    assert is_of_the_database(wrapped(cause)) is expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (sqlite3.OperationalError("unable to open database file"), True),
        (sqlite3.OperationalError("attempt to write a readonly database"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (psycopg.OperationalError("connection failed: Connection refused"), True),
        (psycopg.OperationalError(TOO_MANY), False),
        (psycopg.OperationalError(STARTING), False),
        (pg.ReadOnlySqlTransaction("cannot execute UPDATE"), False),
    ],
)
def test_what_is_more_likely_a_wrong_place_when_a_command_starts(cause, expected):
    assert is_unusable(wrapped(cause)) is expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (pg.ReadOnlySqlTransaction("cannot execute UPDATE"), True),
        (pg.AdminShutdown("terminating connection"), True),
        (sqlite3.OperationalError("attempt to write a readonly database"), True),
        (pg.DeadlockDetected("deadlock detected"), False),
        (pg.DiskFull("no space left"), False),
        (sqlite3.OperationalError("database is locked"), False),
    ],
)
def test_which_errors_stay_with_their_connection(cause, expected):
    assert needs_other_connection(wrapped(cause)) is expected


class Flaky:
    """Work that fails ``failures`` times, then answers."""

    def __init__(self, failures: float, cause: Exception) -> None:
        self.failures, self.cause, self.calls = failures, cause, 0

    def __call__(self, _connection: object) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise wrapped(self.cause)
        return "done"


LOCKED = sqlite3.OperationalError("database is locked")


@pytest.fixture
def sqlite_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'x.db'}"


@pytest.fixture
def no_pauses(monkeypatch):
    """Sleeping takes no time, and is written down."""
    pauses: list[float] = []
    monkeypatch.setattr("hpsearch.search.database.storage.time.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("way", ["write", "read"])
def test_busy_work_is_run_again_from_the_start(sqlite_url, no_pauses, way):
    database = Database(sqlite_url)
    work = Flaky(3, LOCKED)
    assert getattr(database, way)(work) == "done"
    assert work.calls == 4
    database.close()


def test_pauses_grow_up_to_a_second_and_are_jittered(sqlite_url, no_pauses):
    database = Database(sqlite_url)
    database.write(Flaky(12, LOCKED))
    assert len(no_pauses) == 12
    for number, pause in enumerate(no_pauses):
        middle = min(0.02 * 2**number, 1.0)
        assert 0.5 * middle <= pause <= 1.5 * middle
    database.close()


def test_hopeless_failures_are_told_at_once(sqlite_url, no_pauses):
    database = Database(sqlite_url)
    work = Flaky(1, sqlite3.OperationalError("no such table: x\nmore"))
    with pytest.raises(StorageError, match=r"x\.db: no such table: x$"):
        database.write(work)
    assert (work.calls, no_pauses) == (1, [])
    database.close()


def test_patience_ends(sqlite_url):
    database = Database(sqlite_url, Patience(seconds=0.05))
    with pytest.raises(StorageError, match=r"must answer within 0\.05 s, but .* is locked"):
        database.write(Flaky(float("inf"), LOCKED))
    database.close()


def test_a_worker_told_to_leave_leaves_while_it_waits(sqlite_url):
    """Where the wait would last for ever, a signal must still end it."""
    looks = count()
    patience = Patience(seconds=float("inf"), interrupted=lambda: next(looks) > 3)
    database = Database(sqlite_url, patience)
    with pytest.raises(GaveUpWaiting, match="stopped while waiting for the database"):
        database.write(Flaky(float("inf"), LOCKED))
    database.close()


def test_our_own_errors_are_not_retried(sqlite_url):
    database = Database(sqlite_url)
    calls = []

    def work(_connection):
        calls.append(1)
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        database.write(work)
    assert calls == [1]
    database.close()


READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")


def test_a_worker_waits_for_a_file_that_is_read_only_for_a_while(sqlite_url, no_pauses):
    """With new connections: a pooled one would keep what it knows of the file."""
    database = Database(sqlite_url, Patience(seconds=float("inf")))
    connections: list[object] = []
    flaky = Flaky(3, READ_ONLY)

    def work(connection):
        connections.append(connection.connection.driver_connection)
        return flaky(connection)

    assert database.write(work) == "done"
    assert len(set(map(id, connections))) == 4
    database.close()


def test_a_command_that_starts_says_at_once_that_a_file_is_read_only(sqlite_url, no_pauses):
    database = Database(sqlite_url)
    with pytest.raises(StorageError, match=r"must be readable and writable, but .*readonly"):
        database.write(Flaky(float("inf"), READ_ONLY))
    assert no_pauses == []
    database.close()
