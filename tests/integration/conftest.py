"""Databases with hpsearch's tables in them, copied from one that was set up once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.ledger import Search, open_search
from support.searching import study_file

from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.decision import AuditSample


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
        is_enumerated: bool = False,
        max_failures: int = 3,
        audit: AuditSample | None = None,
        **file: Any,
    ) -> Search:
        return open_search(
            database,
            study_file(**file),
            pruner=pruner,
            settings=settings,
            is_enumerated=is_enumerated,
            max_failures=max_failures,
            audit=audit,
        )

    return make
