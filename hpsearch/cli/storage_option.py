"""Where a command gets its database from, so that no password has to stand in a command line."""

from __future__ import annotations

import os
from typing import Any

import typer

from hpsearch.cli.secret_file import read_secret
from hpsearch.errors import StorageError

#: ``search.storage_url.DEFAULT_STORAGE``, repeated so that ``--help`` needs no SQLAlchemy.
DEFAULT_STORAGE = "sqlite:///hpsearch.db"

URL, URL_FILE = "HPSEARCH_STORAGE", "HPSEARCH_STORAGE_FILE"
PASSWORD_FILE = "HPSEARCH_STORAGE_PASSWORD_FILE"


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
    return _with_password(value, "--storage")


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
        f"warning: {option} holds a password, and everybody on this machine can read command "
        f"lines; {instead}the password into ~/.pgpass",
        err=True,
    )


def storage_of_the_environment() -> str:
    """Return the URL that a command takes without ``--storage``. Raises ``UserError``."""
    url, file = os.environ.get(URL), os.environ.get(URL_FILE)
    if url and file:
        raise StorageError(f"{URL} and {URL_FILE} must not both be set; unset one of them")
    if file:
        return _with_password(read_secret(URL_FILE, file), URL_FILE)
    return _with_password(url or DEFAULT_STORAGE, URL)


def environment_with(storage: str) -> dict[str, str]:
    """Return this process's environment for a child that shall use ``storage``."""
    inherited = {k: v for k, v in os.environ.items() if k not in (URL_FILE, PASSWORD_FILE)}
    return {**inherited, URL: storage}


def _with_password(url: str, origin: str) -> str:
    file = os.environ.get(PASSWORD_FILE)
    if not file:
        return url
    from hpsearch.search.storage_url import parse_url

    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        raise StorageError(
            f"{PASSWORD_FILE} belongs to a Postgres database, but {origin} names a SQLite file, "
            "which has no password; unset it, or set the URL of the database"
        )
    if parsed.password is not None:
        raise StorageError(
            f"{PASSWORD_FILE} must not be set where the URL has a password, but that of {origin} "
            "has one; take it out of the URL, or unset the variable"
        )
    complete = parsed.set(password=read_secret(PASSWORD_FILE, file))
    return complete.render_as_string(hide_password=False)


def _has_secret(url: str) -> bool:
    from sqlalchemy.engine import make_url

    from hpsearch.search.storage_url import has_secret

    try:
        parsed: Any = make_url(url)
    except Exception:  # noqa: BLE001 - what isn't a URL is refused where it is used
        return False
    return has_secret(parsed)
