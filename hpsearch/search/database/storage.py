"""One database for Optuna and for the ledger: opening it, transactions, and waiting for it.

SQLite runs in WAL mode, and every write transaction begins with ``BEGIN IMMEDIATE``: only that
prevents two workers from claiming the same ticket (Optuna's plain ``BEGIN`` doesn't). On Postgres
the statements themselves take row locks.
"""

from __future__ import annotations

import logging
import math
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from hpsearch.errors import HpsearchError, StorageError, StorageUnreachable
from hpsearch.search.database.errors import (
    is_damaged,
    is_of_the_database,
    is_transient,
    is_unusable,
    needs_other_connection,
)
from hpsearch.search.database.prepared import execute_now, use_pipeline
from hpsearch.search.database.sqlite_file import SqliteFile
from hpsearch.search.database.storage_url import display_url, mask, parse_url

T = TypeVar("T")

logger = logging.getLogger(__name__)

# SQLite takes at most 999 variables in a statement on old builds.
_CHUNK = 500

#: Seconds of waiting before the first warning, and between warnings: a short wait isn't logged.
FIRST_WARNING_SECONDS, WARNING_SECONDS = 5.0, 60.0


class GaveUpWaiting(HpsearchError):
    """The worker had to stop while it waited for the database."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a database that is locked, full or unreachable."""

    #: Seconds; ``inf`` waits without a limit, as workers do.
    seconds: float = 15.0
    #: Called between two tries; True raises ``GaveUpWaiting``.
    interrupted: Callable[[], bool] = lambda: False
    #: Whether an unreachable database is waited for, too. A command reports a wrong place at once.
    for_unreachable: bool = False


class Database:
    """A pool of connections to one database. Open it in the process that uses it, after any fork.

    Args:
        url: As ``storage_url.parse_url`` takes it.
        patience: How long to wait; ``None`` for 15 seconds.
        read_only: Whether the database itself refuses every write.

    Raises:
        StorageError: The URL isn't usable here.
    """

    def __init__(
        self, url: str, patience: Patience | None = None, *, read_only: bool = False
    ) -> None:
        self.url = parse_url(url)
        self.patience = patience or Patience()
        self.engine = _engine(self.url, read_only=read_only)
        self._file = SqliteFile(Path(str(self.url.database))) if self.is_sqlite else None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite (one writer at a time, no server)."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def display_url(self) -> str:
        """The URL with its secrets masked; the only form that may be shown."""
        return display_url(self.url)

    @property
    def how_to_restore(self) -> str:
        """How to restore a copy, as a sentence; empty if there is nothing to observe."""
        return "" if self._file is None else self._file.how_to_restore

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one write transaction, again from the start if the database was busy.

        ``work`` may run several times, also after a commit whose answer was lost: it must find
        out from the tables what is already done.

        Raises:
            StorageError: The database can't be used, or not within ``patience``.
            DatabaseReplaced: It isn't the file that was opened.
            GaveUpWaiting: ``patience.interrupted`` returned True.
        """
        return self._patiently(lambda: self._once(work, writes=True))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one read transaction (a consistent snapshot on SQLite)."""
        return self._patiently(lambda: self._once(work, writes=False))

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def require_same_file(self) -> None:
        """Check a SQLite file.

        Raises:
            DatabaseReplaced: It isn't the file that was opened.
        """
        if self._file is not None:
            self._file.require_same()

    def _once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        self.require_same_file()  # Before connecting: SQLite would create a file that is gone.
        with self.engine.connect() as connection:
            self.require_same_file()
            connection = connection.execution_options(hpsearch_writes=writes)
            with connection.begin():
                if self._file is not None:
                    self._file.require_whole(connection)
                return work(connection)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        began = time.monotonic()
        deadline = began + self.patience.seconds
        warn_at = began + FIRST_WARNING_SECONDS
        pause = 0.02
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                if not is_transient(error):
                    if not is_of_the_database(error):
                        raise  # A wrong statement is our bug, not the user's mistake.
                    self.require_same_file()
                    raise StorageError(self._hopeless(error)) from error
                patient = self.patience.for_unreachable or self.patience.seconds == math.inf
                if is_unusable(error) and not patient:
                    kind = StorageError if self.is_sqlite else StorageUnreachable
                    raise kind(self._unusable(error)) from error
                if time.monotonic() > deadline:
                    raise StorageUnreachable(
                        f"the database must answer within {self.patience.seconds:g} s, but "
                        f"{self.explain(error)}"
                    ) from error
                if needs_other_connection(error):
                    self.engine.dispose()
                if time.monotonic() > warn_at:
                    warn_at = time.monotonic() + WARNING_SECONDS
                    seconds = time.monotonic() - began
                    logger.warning(
                        "waiting for the database for %.0f s: %s", seconds, self.explain(error)
                    )
            if self.patience.interrupted():
                raise GaveUpWaiting("stopped while waiting for the database")
            # Jitter: workers that lost their connections together must not reconnect together.
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 1.0)

    def _hopeless(self, error: DBAPIError) -> str:
        """Return an error that doesn't pass, and what to do about it."""
        if is_damaged(error):
            return f"{self.explain(error)}; restore a backup. {self.how_to_restore}".rstrip()
        if self.is_sqlite:
            return self.explain(error)
        return (
            f"{self.explain(error)}; the database must exist, and its role must be allowed to log "
            "in and have all rights on the tables: check these and --storage, then run the same "
            "command again"
        )

    def _unusable(self, error: DBAPIError) -> str:
        self.require_same_file()  # A missing file is the simpler explanation.
        if self.is_sqlite:
            return (
                "the SQLite file and its folder must be readable and writable, but "
                f"{self.explain(error)}; check their permissions and the disk, or use another "
                "--storage"
            )
        return (
            f"the database must be reachable, but {self.explain(error)}; "
            "check --storage, and that the server is up"
        )

    def explain(self, error: DBAPIError) -> str:
        """Return the database's message in one line, with the password masked."""
        reason = str(error.orig).strip().partition("\n")[0]
        return f"{self.display_url}: {mask(reason, self.url)}"


def _engine(url: URL, *, read_only: bool) -> Engine:
    # No ping before use: the first statement on a broken connection fails, and the transaction is
    # repeated.
    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 1.0}
    else:
        # UTC: with mixed session time zones even Optuna's own times are wrong.
        own_options = "-c timezone=UTC -c lock_timeout=10s"
        own_options += " -c default_transaction_read_only=on" if read_only else ""
        usual = {"connect_timeout": 10, "application_name": f"hpsearch-{os.getpid()}"}
        options["connect_args"] = {
            "options": " ".join([*url.normalized_query.get("options", ()), own_options]),
            **{key: value for key, value in usual.items() if key not in url.query},
        }
        # ``prepared`` sends BEGIN and COMMIT together with other statements.
        options["isolation_level"] = "AUTOCOMMIT"
        # One stays open for the next transaction; a second one at the same time, as of a worker's
        # lease keeper, is closed afterwards. Servers have few, and a fleet has many workers.
        options["pool_size"] = 1
    try:
        engine = sa.create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{url.drivername} needs a driver that isn't installed ({error}); "
            "install it with: pip install 'hpsearch[postgres]'"
        ) from None
    except (ArgumentError, ValueError) as error:  # numbers of hosts and ports, ports in words
        text = mask(str(error).partition("\n")[0], url)
        raise StorageError(f"the storage {display_url(url)} can't be used: {text}") from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if read_only:
            event.listen(engine, "connect", _forbid_writes)
    else:
        _require_options_of_libpq(url)
        use_pipeline(engine)
    return engine


def _require_options_of_libpq(url: URL) -> None:
    """Refuse unknown options after the ``?``: later, the error would look like our bug."""
    from psycopg.pq import Conninfo

    keywords = [option.keyword.decode() for option in Conninfo.get_defaults()]
    for key, values in url.normalized_query.items():
        if key not in keywords:
            matches = get_close_matches(key, keywords, n=1)
            guess = f"; did you mean {matches[0]!r}?" if matches else ""
            raise StorageError(
                "an option after the ? of a Postgres URL must be an option of libpq, such as "
                f"sslmode or service, but {key!r} isn't{guess}"
            )
        if len(values) > 1 and key not in ("host", "port", "options"):
            raise StorageError(
                f"an option of a Postgres URL must be given once, but {key!r} is repeated"
            )


def _as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions of its own: _begin_sqlite does.
    connection.isolation_level = None
    # Bytes that aren't UTF-8 would end the whole read; so only one value is unreadable.
    connection.text_factory = _as_text
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _forbid_writes(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("hpsearch_writes", True)
    execute_now(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def exclusive_setup(database: Database) -> Iterator[None]:
    """Lock the creation of tables: all of several first launches at once must succeed."""
    if database.is_sqlite:
        from filelock import FileLock

        path = Path(str(database.url.database))
        with FileLock(path.with_name(f".{path.name}.setup.lock"), timeout=120):
            yield
        return
    with database.engine.connect() as connection:
        # The last one waits for all others: longer than locks may take otherwise.
        connection.execute(sa.text("SET LOCAL lock_timeout = '120s'"))
        # A transaction's advisory lock ends with the transaction, also if this process dies.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7417266)"))
        yield


class Snapshot(Database):
    """Answers every ``read`` from one open transaction, and refuses to write."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.url = database.url
        self.patience = database.patience
        self.engine = database.engine
        self._file = database._file
        self._connection = connection

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in the transaction that all reads share."""
        return work(self._connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("a snapshot is read-only")


def read_snapshot(database: Database, look: Callable[[Database], T]) -> T:
    """Return ``look(view)``; all reads of ``view`` see the same moment.

    ``look`` may run several times: from the start if the database was busy.
    """

    def work(connection: Connection) -> T:
        if not database.is_sqlite:
            # By default each statement on Postgres sees a new moment.
            connection.execute(
                sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            )
        return look(Snapshot(database, connection))

    return database.read(work)


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield ``ids`` in order, as many at a time as every database takes."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
