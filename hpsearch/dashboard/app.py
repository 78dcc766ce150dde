"""optuna-dashboard behind the guard, on a small threading server."""

from __future__ import annotations

import ipaddress
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import RDBStorage
from sqlalchemy import event

from hpsearch.dashboard.guard import LOOPBACK_NAMES, Guard
from hpsearch.errors import UserError
from hpsearch.search.schema_version import optuna_url, require_tables
from hpsearch.search.storage import Database


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per request: the page asks for several things at once."""

    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: the terminal belongs to the person who started it."""

    #: Seconds that a client may be silent; each has a thread.
    timeout = 30

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


def require_loopback(host: str, token: str | None = None) -> None:
    """Refuse an address beyond this machine where there is no token. Raises ``UserError``."""
    if host == "localhost" or token is not None:
        return
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UserError(
            "without a token the dashboard listens on this machine only (127.0.0.1, ::1 or "
            f"localhost), but --host is {host!r}; set HPSEARCH_DASHBOARD_TOKEN, or use an SSH "
            "tunnel from elsewhere: ssh -L 8080:localhost:8080 THIS_HOST"
        )


@contextmanager
def dashboard_server(
    database: Database, host: str, port: int, token: str | None = None
) -> Iterator[WSGIServer]:
    """Yield a bound server for ``database``; ``serve_forever`` it, from any thread.

    Port 0 takes a free one (``server.server_port``). With a ``token`` every reader must give it.

    Raises:
        UserError: ``host`` isn't this machine's loopback and there is no token, or it or the port
            can't be used.
        StorageError: the database holds no study.
    """
    require_loopback(host, token)
    require_tables(database)
    kind = _ServerV6 if ":" in host else _Server
    try:
        # A token goes with its name in the browser, so another name for us reads nothing.
        hosts = LOOPBACK_NAMES if token is None else None
        guard = Guard(_optuna_dashboard(database), hosts, token)
        server = make_server(host, port, guard, kind, handler_class=_QuietHandler)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(
            f"the dashboard must have a free port, but {host}:{port} can't be used ({error}); "
            "choose another --port"
        ) from error
    with server:
        yield server


def _optuna_dashboard(database: Database) -> Any:
    import optuna_dashboard

    return optuna_dashboard.wsgi(_read_only_storage(database))


def _read_only_storage(database: Database) -> RDBStorage:
    """Return Optuna's storage on connections that the database itself keeps from writing."""
    options: dict[str, Any] = {"pool_pre_ping": True}
    if not database.is_sqlite:
        settings = "-c timezone=UTC -c default_transaction_read_only=on"
        options["connect_args"] = {"options": settings, "connect_timeout": 10}
    storage = RDBStorage(optuna_url(database), options, skip_table_creation=True)
    if database.is_sqlite:
        storage.engine.dispose()  # the connection that was made without the pragma
        event.listen(storage.engine, "connect", _forbid_writes)
    return storage


def _forbid_writes(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
