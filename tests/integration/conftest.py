"""Databases with hpsearch's tables in them, copied from one that was set up once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ledger import Search, open_search
from support.searching import study_file

from hpsearch.search.decision import Audit
from hpsearch.search.schema_version import ensure_tables
from hpsearch.search.storage import Database


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no study."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    ensure_tables(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_prepared(postgres: Any) -> str:
    """The URL of a Postgres database with all tables and no study, emptied after each test."""
    url: str = postgres.create()
    database = Database(url)
    ensure_tables(database)
    database.close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def prepared_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that has tables and no study, on each kind of server in turn."""
    if request.param == "sqlite":
        path = tmp_path / "hpsearch.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    # Emptied and used again: creating one takes half a second.
    url = request.getfixturevalue("postgres_prepared")
    yield url
    request.getfixturevalue("postgres").empty(url)


@pytest.fixture
def database(prepared_url: str) -> Iterator[Database]:
    """A new database that has tables, open."""
    database = Database(prepared_url)
    yield database
    database.close()


@pytest.fixture
def search(database: Database) -> Callable[..., Search]:
    """Open a small study: ``search(trials=4, pruner="asha", metric="val_loss", ...)``."""

    def make(
        *,
        pruner: str = "none",
        settings: dict[str, Any] | None = None,
        enumerates: bool = False,
        max_failures: int = 3,
        audit: Audit | None = None,
        **file: Any,
    ) -> Search:
        return open_search(
            database,
            study_file(**file),
            pruner=pruner,
            settings=settings,
            enumerates=enumerates,
            max_failures=max_failures,
            audit=audit,
        )

    return make
