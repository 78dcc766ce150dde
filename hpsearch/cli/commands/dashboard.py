"""dashboard: the studies in a browser."""

from __future__ import annotations

import os
import re
import signal
from typing import Annotated

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, StorageOption
from hpsearch.cli.terminal.output import say
from hpsearch.errors import UserError
from hpsearch.leave_signals import leave_signals
from hpsearch.results.opening import database_for_reading
from hpsearch.search.database.environment import read_secret

TOKEN, TOKEN_FILE = "HPSEARCH_DASHBOARD_TOKEN", "HPSEARCH_DASHBOARD_TOKEN_FILE"


def dashboard(
    storage: StorageOption = DEFAULT_STORAGE,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="The address; other machines can connect only with a token.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Show the studies in a browser (optuna-dashboard, read-only), until Ctrl-C.

    Deleting and editing are refused. It listens on this machine only, unless
    HPSEARCH_DASHBOARD_TOKEN (or a file that HPSEARCH_DASHBOARD_TOKEN_FILE names) contains a token.
    Every reader then gives the token as password.

    \b
    hpsearch dashboard
    hpsearch dashboard --port 9000 --no-browser
    """
    from hpsearch.dashboard.app import dashboard_server, require_loopback

    token = token_of_the_environment()
    require_loopback(host, token)
    with (
        database_for_reading(storage) as database,
        dashboard_server(database, host, port, token) as server,
    ):
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{server.server_port}/"
        hint = "" if token is None else "; it asks for the token as password (any user name)"
        say(f"{database.display_url} at {url} (read-only{hint}); Ctrl-C ends it")
        # Without a handler a container's first process would never see it.
        for number in leave_signals():
            signal.signal(number, signal.default_int_handler)
        if browser:
            import webbrowser

            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say()


def token_of_the_environment() -> str | None:
    """Return the dashboard's token, ``None`` if there is none. Raises ``UserError``."""
    token, file = os.environ.get(TOKEN), os.environ.get(TOKEN_FILE)
    if token and file:
        raise UserError(f"{TOKEN} and {TOKEN_FILE} must not both be set; unset one of them")
    if file:
        token = read_secret(TOKEN_FILE, file)
    if not token:
        return None
    if re.fullmatch(r"[!-~]{16,256}", token) is None:
        raise UserError(
            "the dashboard's token must be 16 to 256 letters, digits and signs of ASCII without "
            f"blanks, but the one given ({len(token)} characters) isn't; make one with: "
            "openssl rand -hex 24"
        )
    return token
