"""The URL of a command's database, from the command line or the environment."""

from __future__ import annotations

from typing import Any

import typer

from hpsearch.search.database.environment import DEFAULT_STORAGE as DEFAULT_STORAGE
from hpsearch.search.database.environment import URL as URL
from hpsearch.search.database.environment import URL_FILE, with_password
from hpsearch.search.database.environment import environment_with as environment_with
from hpsearch.search.database.environment import (
    storage_of_the_environment as storage_of_the_environment,
)


def resolve_storage(context: typer.Context, value: str) -> str:
    """Return the URL to use; a callback of ``--storage``.

    ``--storage`` has priority over the environment; both are completed by a password file. Prints a
    warning if the command line contains a password.

    Raises:
        UserError: The environment is contradictory, or a file in it can't be used.
    """
    if context.resilient_parsing:
        return value
    # Compared by name: typer has its own copy of click's enum, or click's, depending on its version
    source = context.get_parameter_source("storage")
    if source is None or source.name != "COMMANDLINE":
        return storage_of_the_environment()
    _warn("--storage", value)
    return with_password(value, "--storage")


def warn_of_password(context: typer.Context, value: str | None) -> str | None:
    """Warn if another database's URL contains a password; a callback of ``--from-storage``."""
    if value is not None and not context.resilient_parsing:
        _warn("--from-storage", value)
    return value


def _warn(option: str, url: str) -> None:
    if not _has_secret(url):
        return
    instead = (
        f"set {URL} instead, or write the URL into a file and set {URL_FILE} to its path, or put "
        if option == "--storage"
        else "put "
    )
    typer.echo(
        f"warning: {option} contains a password, and everybody on this machine can read command "
        f"lines; {instead}the password into ~/.pgpass",
        err=True,
    )


def _has_secret(url: str) -> bool:
    from sqlalchemy.engine import make_url

    from hpsearch.search.database.storage_url import has_secret

    try:
        parsed: Any = make_url(url)
    except Exception:  # noqa: BLE001 - a malformed URL is reported when it is used
        return False
    return has_secret(parsed)


def with_storage_option(command: str, storage: str) -> str:
    """Return ``command`` with the ``--storage`` that this call was given; no password is shown."""
    import shlex

    from hpsearch.search.database.storage_url import has_secret, parse_url

    if storage == storage_of_the_environment():
        return command
    text = "..." if has_secret(parse_url(storage)) else shlex.quote(storage)
    return f"{command} --storage {text}"
