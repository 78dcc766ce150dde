"""A SQLite file that is deleted or replaced while it is open: noticed, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpsearch.errors import DatabaseReplaced
from hpsearch.search.storage import Database, Patience


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
