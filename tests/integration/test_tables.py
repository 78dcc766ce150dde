"""Creating the tables: twice, at once, over strange URLs, and never over somebody else's."""

from __future__ import annotations

import sqlite3

import optuna
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from support.processes import in_processes, open_and_attach
from support.searching import study_file

from hpsearch.errors import StorageError
from hpsearch.search.database import schema_version
from hpsearch.search.database import tables as ledger_tables
from hpsearch.search.database.schema_version import (
    VERSION_TABLE,
    ensure_tables,
    head_revision,
    require_tables,
    revision_of,
)
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies


@pytest.fixture
def own_database(storage_url):
    """A database whose schema may be spoilt: no other test uses it."""
    database = Database(storage_url)
    ensure_tables(database)
    yield database
    database.close()


def schema_of(database: Database) -> dict[str, list[str]]:
    """Table -> its columns, as the database has them."""

    def work(connection):
        inspector = sa.inspect(connection)
        return {
            table: [f"{column['name']} {column['type']}" for column in inspector.get_columns(table)]
            for table in inspector.get_table_names()
        }

    return database.read(work)


def test_ensure_tables_creates_both_schemas_and_changes_nothing_the_second_time(storage_url):
    database = Database(storage_url)
    with pytest.raises(StorageError, match="no study has been launched into"):
        require_tables(database)
    ensure_tables(database)
    first = schema_of(database)
    assert {"trials", "hpsearch_tickets", VERSION_TABLE} <= set(first)
    ensure_tables(database)
    assert schema_of(database) == first
    require_tables(database)
    database.close()


def test_asking_for_a_missing_sqlite_file_does_not_create_it(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'missing.db'}")
    with pytest.raises(StorageError, match="the file doesn't exist; run `hpsearch launch` first"):
        require_tables(database)
    assert list(tmp_path.iterdir()) == []


def test_migrations_and_tables_say_the_same(database):
    def ours(_object, name, kind, _reflected, _compare_to):
        return kind != "table" or (name.startswith("hpsearch_") and name != VERSION_TABLE)

    def work(connection):
        options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, ledger_tables.metadata)

    assert database.read(work) == []


def test_the_comparison_above_would_notice(database):
    """A column that only the tables have shows up (so an empty list means something)."""
    metadata = sa.MetaData()
    for table in ledger_tables.metadata.tables.values():
        table.to_metadata(metadata)
    metadata.tables["hpsearch_tickets"].append_column(sa.Column("extra", sa.Integer))
    differences = database.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(
                connection,
                opts={"include_object": lambda *what: what[2] != "table" or "hpsearch" in what[1]},
            ),
            metadata,
        )
    )
    assert any(entry[0] == "add_column" and entry[3].name == "extra" for entry in differences)


def set_revision(database: Database, revision: str) -> None:
    database.write(
        lambda connection: connection.execute(
            sa.text(f"UPDATE {VERSION_TABLE} SET version_num = :revision"), {"revision": revision}
        )
    )


def test_a_newer_schema_is_refused_and_left_as_it_is(own_database):
    database = own_database
    set_revision(database, "9999_from_the_future")
    before = schema_of(database)
    for refuse in (ensure_tables, require_tables):
        with pytest.raises(StorageError) as caught:
            refuse(database)
        message = str(caught.value)
        assert "'9999_from_the_future' from a newer version" in message
        assert "pip install -U hpsearch" in message
    assert schema_of(database) == before
    assert database.read(revision_of) == "9999_from_the_future"


def test_an_older_schema_must_be_upgraded_first(database, monkeypatch):
    head = schema_version.head_revision()
    monkeypatch.setattr(schema_version, "head_revision", lambda: "0099")
    with pytest.raises(StorageError, match=rf"has the older schema {head}, .* reads 0099"):
        require_tables(database)


def test_a_newer_optuna_schema_is_refused_in_words(storage_url):
    """RDBStorage would raise RuntimeError: a traceback for the user."""
    RDBStorage(storage_url).engine.dispose()
    database = Database(storage_url)
    database.write(
        lambda connection: connection.execute(
            sa.text("UPDATE alembic_version SET version_num = 'v9.9'")
        )
    )
    with pytest.raises(StorageError, match=r"can't be used: .* optuna"):
        ensure_tables(database)
    assert database.read(revision_of) is None
    database.close()


def test_optuna_tables_that_changed_later_are_refused(own_database):
    """Somebody ran `optuna storage upgrade` of another version over a database of ours."""
    database = own_database
    database.write(
        lambda connection: connection.execute(
            sa.text("UPDATE alembic_version SET version_num = 'v9.9'")
        )
    )
    for refuse in (ensure_tables, require_tables):
        with pytest.raises(StorageError) as caught:
            refuse(database)
        assert "they have schema 'v9.9', from another version of Optuna" in str(caught.value)


def test_tables_live_beside_studies_that_optuna_made_before(storage_url):
    storage = RDBStorage(storage_url)
    study = optuna.create_study(study_name="older", storage=storage)
    study.add_trial(optuna.create_trial(value=1.0))
    storage.engine.dispose()
    database = Database(storage_url)
    ensure_tables(database)
    studies.attach(database, study_file(name="ours"))
    assert sorted(optuna.get_all_study_names(storage)) == ["older", "ours"]
    assert optuna.load_study(study_name="older", storage=storage).best_value == 1.0
    storage.engine.dispose()
    database.close()


def test_eight_processes_open_an_empty_database_at_once(storage_url):
    """Stock Optuna fails in most of these openings (27 of 32 when measured)."""
    answers = in_processes(open_and_attach, [(storage_url, number) for number in range(8)])
    assert len(answers) == 8
    assert len(set(answers)) == 1, "all eight found the same study"
    database = Database(storage_url)
    assert database.read(revision_of) == head_revision()
    assert [study.name for study in studies.everything(database)] == ["line"]
    database.close()


def test_a_password_with_braces_reaches_the_server_and_no_message(postgres):
    url = postgres.create()
    try:
        # The server trusts its socket, so any password logs in; Optuna's str.format sees the URL.
        secret = "p{0}w%40{x}:/"
        parsed = make_url(url).set(password=secret)
        database = Database(parsed.render_as_string(hide_password=False))
        ensure_tables(database)
        assert database.url.password == secret
        assert database.read(revision_of) == head_revision()
        database.write(
            lambda connection: connection.execute(
                sa.text("UPDATE hpsearch_alembic_version SET version_num = 'x'")
            )
        )
        with pytest.raises(StorageError) as caught:
            ensure_tables(database)
        assert secret not in str(caught.value)
        assert ":***@" in str(caught.value)
        database.close()
    finally:
        postgres.drop(url)


def test_a_folder_with_braces_holds_one_file(tmp_path):
    folder = tmp_path / "run {1} 100%"
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'x.db'}")
    ensure_tables(database)
    database.close()
    assert {path.name for path in folder.iterdir()} == {"x.db", ".x.db.setup.lock"}
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}
    with sqlite3.connect(folder / "x.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"trials", "hpsearch_tickets"} <= tables


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"this is no database, " * 400, "file is not a database", id="other file"),
    ],
)
def test_a_file_that_is_no_database_is_refused_in_words(tmp_path, content, message):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StorageError, match=message):
        ensure_tables(database)
    database.close()
    assert path.read_bytes() == content


def test_a_role_that_may_not_create_tables_is_told_so(postgres):
    url = postgres.create()
    role = "reader_" + str(make_url(url).database)[5:15]
    postgres.execute(f"CREATE ROLE {role} LOGIN", url)
    database = Database(make_url(url).set(username=role).render_as_string(hide_password=False))
    try:
        with pytest.raises(StorageError, match=r"must create its tables, but .*permission denied"):
            ensure_tables(database)
    finally:
        database.close()
        postgres.drop(url)
        postgres.execute(f"DROP ROLE {role}")


def test_a_server_that_is_not_there_is_told_at_once(tmp_path, monkeypatch):
    database = Database(f"postgresql://me:s3cret@/db?host={tmp_path}")
    pauses = []
    monkeypatch.setattr("hpsearch.search.database.storage.time.sleep", pauses.append)
    with pytest.raises(StorageError) as caught:
        ensure_tables(database)
    assert pauses == [], "it was tried once"
    assert "must be reachable, but postgresql+psycopg://me:***@/db" in str(caught.value)
    assert "check --storage, and that the server is up" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    database.close()
