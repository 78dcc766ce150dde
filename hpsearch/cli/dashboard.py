"""dashboard: the studies in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from hpsearch.cli.opening import database_for_reading
from hpsearch.cli.options import DEFAULT_STORAGE, StorageOption
from hpsearch.cli.output import say


def dashboard(
    storage: StorageOption = DEFAULT_STORAGE,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="This machine's loopback: 127.0.0.1, ::1 or localhost.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Show the studies in a browser (optuna-dashboard, read-only), until Ctrl-C.

    It listens on this machine only. Deleting and editing are refused.

    \b
    hpsearch dashboard
    hpsearch dashboard --port 9000 --no-browser
    """
    from hpsearch.dashboard.app import dashboard_server, require_loopback

    require_loopback(host)
    with (
        database_for_reading(storage) as database,
        dashboard_server(database, host, port) as server,
    ):
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{server.server_port}/"
        say(f"{database.display_url} at {url} (read-only); Ctrl-C ends it")
        if browser:
            import webbrowser

            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say()
