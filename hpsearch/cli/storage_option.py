"""Where a command gets its database from, so that no password has to stand in a command line."""

from __future__ import annotations

from typing import Any

import typer

from hpsearch.search.storage_environment import DEFAULT_STORAGE as DEFAULT_STORAGE
from hpsearch.search.storage_environment import URL as URL
from hpsearch.search.storage_environment import URL_FILE, with_password
from hpsearch.search.storage_environment import environment_with as environment_with
from hpsearch.search.storage_environment import (
    storage_of_the_environment as storage_of_the_environment,
)


def resolve_storage(context: typer.Context, value: str) -> str:
    """Return the URL to use; a callback of ``--storage``.

    ``--storage`` wins over the environment; a password file completes either. Warns where the
    command line shows a password. Raises ``UserError`` where the environment contradicts itself or
    a file can't be used.
    """
    if context.resilient_parsing:
        return value
    # By its name: typer has its own copy of click's enum, or click's, depending on its version.
    source = context.get_parameter_source("storage")
    if source is None or source.name != "COMMANDLINE":
        return storage_of_the_environment()
    _warn("--storage", value)
    return with_password(value, "--storage")


def warn_of_password(context: typer.Context, value: str | None) -> str | None:
    """Warn where another database's URL shows a password; a callback of ``--from-storage``."""
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

    from hpsearch.search.storage_url import has_secret

    try:
        parsed: Any = make_url(url)
    except Exception:  # noqa: BLE001 - what isn't a URL is refused where it is used
        return False
    return has_secret(parsed)
