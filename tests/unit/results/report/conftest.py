"""A new database for each made-up study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.search.schema_version import ensure_tables
from hpsearch.search.storage import Database


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    ensure_tables(database)
    database.close()
    return path.read_bytes()


@pytest.fixture
def database(empty_database: bytes, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "hpsearch.db"
    path.write_bytes(empty_database)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()
