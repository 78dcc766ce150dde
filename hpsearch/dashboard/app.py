"""optuna-dashboard behind the guard, on a small server."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server

from hpsearch.dashboard.artifacts import Artifacts
from hpsearch.dashboard.guard import LOOPBACK_NAMES, Guard
from hpsearch.dashboard.home import Home
from hpsearch.dashboard.reports import Reports
from hpsearch.dashboard.routes import Routes
from hpsearch.dashboard.server import DashboardServer, DashboardServerV6, RequestHandler
from hpsearch.dashboard.storage import DashboardStorage
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.errors import UserError
from hpsearch.search.database.schema_version import require_tables
from hpsearch.search.database.storage import Database

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def require_loopback(host: str, token: str | None = None) -> None:
    """Check that without a token the dashboard listens on this machine only.

    Raises:
        UserError: ``host`` isn't a loopback address and there is no token.
    """
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
            "tunnel from another machine: ssh -L 8080:localhost:8080 THIS_HOST"
        )


@contextmanager
def dashboard_server(
    database: Database, host: str, port: int, token: str | None = None
) -> Iterator[WSGIServer]:
    """Yield a bound server for ``database``; call its ``serve_forever``, from any thread.

    Args:
        database: The database to show; it is opened again for reading only.
        host: A name or an IP address to listen on.
        port: The port; 0 takes a free one (``server.server_port``).
        token: The token that every request must contain; ``None`` if none is needed.

    Raises:
        UserError: ``host`` isn't a loopback address and there is no token, or it or the port can't
            be used.
        StorageError: The database contains no study.
    """
    require_loopback(host, token)
    require_tables(database)
    kind = DashboardServerV6 if ":" in host else DashboardServer
    # A browser sends a token only to the host name it was entered for, so any name is safe.
    hosts = LOOPBACK_NAMES if token is None else None
    with _read_only(database) as reading:
        guard = Guard(application(reading), hosts, token)
        try:
            server = make_server(host, port, guard, kind, handler_class=RequestHandler)
        except (OSError, OverflowError, UnicodeError) as error:
            raise UserError(
                f"the dashboard must have a free port, but {host}:{port} can't be used ({error}); "
                "choose another --port"
            ) from error
        server.still_there = reading.require_same_file
        with server:
            yield server


def application(database: Database) -> WSGIApplication:
    """Return the dashboard over ``database``, without a guard."""
    import optuna_dashboard

    views = StudyViews(database)
    storage = DashboardStorage(database, views)
    dashboard = optuna_dashboard.wsgi(storage, Artifacts(database, views))
    # Otherwise it prints a traceback and returns its own error page; `Routes` handles errors.
    dashboard.catchall = False
    reports, home = Reports(database, views, _render), Home(database, views)
    return Routes(dashboard, storage, reports, home)


@contextmanager
def _read_only(database: Database) -> Iterator[Database]:
    """Yield a second pool of connections, for which the database refuses to write."""
    url = database.url.render_as_string(hide_password=False)
    reading = Database(url, database.patience, read_only=True)
    try:
        yield reading
    finally:
        reading.close()


def _render(database: Database, names: Sequence[str]) -> str:
    from hpsearch.reporting.assemble import render

    # Without images: a reader of the dashboard may see the database, but not the data folder.
    return render(database, names, pictures=False)
