"""A SQLite file that is deleted or replaced while it is open: noticed, and nothing is written."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpsearch.errors import DatabaseReplaced, StorageError
from hpsearch.search.database.storage import Database, Patience


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def database(path: Path):
    database = Database(f"sqlite:///{path}", Patience(seconds=float("inf")))
    database.write(lambda connection: connection.execute(sa.text("CREATE TABLE t (n INTEGER)")))
    yield database
    database.close()


def insert(connection):
    connection.execute(sa.text("INSERT INTO t VALUES (1)"))


def count(connection):
    return connection.execute(sa.text("SELECT count(*) FROM t")).scalar_one()


def test_a_file_that_stays_is_used(database):
    database.write(insert)
    assert database.read(count) == 1


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_file_that_is_gone_ends_every_use_of_it(database, path, how):
    path.unlink() if how == "deleted" else path.rename(path.with_name("elsewhere.db"))
    for use in (lambda: database.read(count), lambda: database.write(insert)):
        with pytest.raises(DatabaseReplaced, match=r"x\.db must stay .* deleted or moved"):
            use()
    assert not path.exists(), "no empty file may take its place"


def test_a_replaced_file_is_left_as_it_is(database, path):
    database.read(count)
    copy = path.with_name("older.db")
    shutil.copy(path, copy)
    before = copy.read_bytes()
    copy.replace(path)
    for use in (lambda: database.read(count), lambda: database.write(insert)):
        with pytest.raises(DatabaseReplaced, match="replaced by another file"):
            use()
    assert path.read_bytes() == before


def test_a_new_connection_takes_the_file_that_is_there(database, path):
    """Only who had the old file open must stop."""
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.replace(path)
    fresh = Database(f"sqlite:///{path}")
    assert fresh.read(count) == 0
    fresh.close()


def grow(database, rows: int) -> None:
    numbers = [{"n": f"{number:0100}"} for number in range(rows)]
    database.write(
        lambda connection: connection.execute(sa.text("INSERT INTO t VALUES (:n)"), numbers)
    )


def checkpoint(path: Path) -> None:
    """As SQLite does by itself from time to time; afterwards the file holds everything."""
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_an_older_copy_that_is_written_into_the_file_is_noticed(database, path):
    grow(database, 100)
    checkpoint(path)
    older = path.read_bytes()
    grow(database, 1000)
    checkpoint(path)
    assert database.read(count) == 1100
    path.write_bytes(older)  # `cp older.db x.db`: the same inode
    for use in (lambda: database.read(count), lambda: database.write(insert)):
        with pytest.raises(DatabaseReplaced, match=r"overwritten by an older copy.* x\.db-wal"):
            use()


def test_a_vacuum_is_none(database, path):
    grow(database, 1000)
    checkpoint(path)
    assert database.read(count) == 1000
    before = path.stat().st_size
    database.write(lambda connection: connection.execute(sa.text("DELETE FROM t")))
    with closing(sqlite3.connect(path)) as other:
        other.execute("VACUUM")
    checkpoint(path)
    assert path.stat().st_size < before
    assert database.read(count) == 0
    grow(database, 1000)
    assert database.read(count) == 1000


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_log_that_is_gone_is_noticed(database, path, how):
    grow(database, 10)
    log = path.with_name("x.db-wal")
    other = path.with_name("other")
    shutil.copy(log, other)
    log.unlink() if how == "deleted" else other.replace(log)
    with pytest.raises(DatabaseReplaced, match=r"x\.db-wal was deleted or replaced"):
        database.write(insert)


def test_what_another_command_leaves_alone_is_the_same(database, path):
    """One that comes and goes: SQLite removes the log at most when nobody is there any more."""
    for _ in range(3):
        other = Database(f"sqlite:///{path}")
        other.write(insert)
        other.close()
    database.close()  # as after an error: the next connection has a log of its own
    Database(f"sqlite:///{path}").close()
    assert database.read(count) == 3


def test_a_damaged_file_is_said_with_what_to_do(database, path):
    grow(database, 1000)
    checkpoint(path)
    database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
    with pytest.raises(StorageError, match=r"malformed; restore a backup\. Before .* x\.db-wal"):
        database.read(count)
